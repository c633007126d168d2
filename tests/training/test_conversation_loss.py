"""Parts learn at their own rates, or not at all."""

from __future__ import annotations

import pytest
import torch
from tests.core.language.toy_models import speckled
from tests.training.language_toys import EVERYTHING, toy_vlm

from mlcd.core.language.config import IMAGE_TOKEN
from mlcd.core.language.tiles import cut_tiles
from mlcd.core.language.vlm import Sample
from mlcd.training.conversation_loss import (
    ConversationLoss,
    PartRates,
    freeze_parts,
    part_of,
    rate_groups,
    save_memory,
    sharding_units,
)


def samples() -> list[Sample]:
    tiles = cut_tiles(speckled(40, 60), toy_vlm().config)
    ids = torch.tensor([5, IMAGE_TOKEN, 7, 8, 9])
    return [Sample(ids, ids.clone(), [tiles])]


def test_only_parts_with_a_rate_learn() -> None:
    vlm = toy_vlm()
    freeze_parts(vlm, PartRates(projector=1e-3))
    learning = {part_of(name) for name, p in vlm.named_parameters() if p.requires_grad}
    assert learning == {"projector"}


def test_everything_that_learns_gets_a_gradient_and_nothing_else() -> None:
    vlm = toy_vlm()
    freeze_parts(vlm, EVERYTHING)
    ConversationLoss(vlm)(samples())["loss"].backward()
    for name, parameter in vlm.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
    frozen = {name for name, p in vlm.named_parameters() if not p.requires_grad}
    assert all(name.startswith(("tower.blocks.2.", "tower.post_norm.")) for name in frozen)
    assert len(frozen) > 4


def test_groups_hold_each_parameter_once_at_its_rate() -> None:
    vlm = toy_vlm()
    rates = PartRates(projector=1e-3, tower=2e-6, language=1e-5, newline=4e-5)
    freeze_parts(vlm, rates)
    groups = rate_groups(vlm, rates, weight_decay=0.1)
    names = {id(p): name for name, p in vlm.named_parameters()}
    found = {names[id(p)]: group for group in groups for p in group["params"]}
    assert found.keys() == {name for name, p in vlm.named_parameters() if p.requires_grad}
    assert sum(len(group["params"]) for group in groups) == len(found)
    for name, group in found.items():
        assert group["lr"] == getattr(rates, part_of(name))
        is_matrix = vlm.get_parameter(name).ndim > 1
        assert group["weight_decay"] == (0.1 if is_matrix else 0.0), name


def test_a_stage_without_rates_and_rates_of_zero_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one part"):
        PartRates(projector=None)
    with pytest.raises(ValueError, match=r"above 0 or none, got \{'tower': 0\.0\}"):
        PartRates(projector=1e-3, tower=0.0)


def test_computing_blocks_again_changes_no_gradient() -> None:
    grads = []
    for saves in (False, True):
        vlm = toy_vlm().train()
        freeze_parts(vlm, EVERYTHING)
        if saves:
            save_memory(vlm)
        ConversationLoss(vlm)(samples())["loss"].backward()
        grads.append([p.grad for p in vlm.parameters() if p.grad is not None])
    for one, other in zip(*grads, strict=True):
        torch.testing.assert_close(one, other)


def test_every_block_is_a_unit_of_its_own() -> None:
    vlm = toy_vlm()
    units = sharding_units(vlm)
    assert [*vlm.tower.blocks, *vlm.language.model.layers] == units[:5]
    assert vlm.language.lm_head in units
    tied = toy_vlm(language={**vlm.config.language, "tie_word_embeddings": True})
    assert len(sharding_units(tied)) == 5  # the table is the root's, under both of its names
