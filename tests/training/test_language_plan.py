"""A plan counts what a run takes without a GPU, and without memory for its weights."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.training.language_toys import EVERYTHING, TOY, toy_vlm

from mlcd.core.language import presets
from mlcd.training.conversation_loss import PartRates
from mlcd.training.language_plan import PlannedConversations, conversation_plan, counted_parts
from mlcd.training.lora import Lora
from mlcd.training.recipes.language_recipe import LanguageRecipe
from mlcd.training.recipes.published_language import align_mlcd, tune_mlcd, tune_onevision


def planned(recipe: LanguageRecipe, way: str = "zero3", ranks: int = 8) -> PlannedConversations:
    base = presets.mlcd_next_7b()
    config = recipe.config_for(base.tower, base.language)
    return PlannedConversations(
        config=config, recipe=recipe, way=way, ranks=ranks, text_tokens=1024
    )


def test_seven_billion_parameters_are_planned_without_allocating_them() -> None:
    run = planned(tune_mlcd())
    parts = counted_parts(run)
    assert sum(whole for whole, _ in parts.values()) == 9_476_785_844
    assert parts["projector"] == (18_816_000, 18_816_000)
    memory = conversation_plan(run)
    assert 20e9 < sum(memory.values()) < 80e9
    assert memory["weights"] == 2 * 9_476_785_844 // 8


def test_the_first_stage_learns_its_projector_alone() -> None:
    parts = counted_parts(planned(align_mlcd()))
    assert {name for name, (_, learning) in parts.items() if learning} == {"projector"}


def test_spreading_takes_less_on_each_rank() -> None:
    def total(way: str) -> int:
        return sum(conversation_plan(planned(tune_mlcd(), way)).values())

    assert total("zero3") < total("zero2") < total("ddp")
    assert total("fsdp2") < total("zero2")
    assert sum(conversation_plan(planned(tune_mlcd(), "zero3", ranks=16)).values()) < total("zero3")
    with pytest.raises(ValueError, match=r"no plan for 'mine\.json'"):
        total("mine.json")


def test_lora_and_recomputing_take_less() -> None:
    def total(recipe: LanguageRecipe) -> int:
        return sum(conversation_plan(planned(recipe)).values())

    whole = replace(tune_mlcd(), rates=PartRates(projector=1e-5, language=1e-4))
    assert total(replace(whole, lora=Lora())) < total(whole) - 10e9
    assert total(replace(whole, recompute_blocks=False)) > 2 * total(whole)


def test_the_published_steps_and_counts() -> None:
    assert align_mlcd().num_steps(558_128) == 4360  # 4361 with the last, unfilled batch
    assert tune_mlcd().num_steps(779_000) == 6085
    assert len(tune_onevision().tiles) == 36
    assert planned(tune_mlcd()).image_tokens == 5184  # 32 * 32 and 64 * 65
    run = replace(planned(tune_mlcd()), config=presets.mlcd_embodied_7b())
    assert run.tiles == 13


def test_moments_are_counted_as_an_optimizer_holds_them() -> None:
    vlm = toy_vlm()
    recipe = replace(TOY, rates=EVERYTHING)
    run = PlannedConversations(
        config=vlm.config, recipe=recipe, way="ddp", ranks=1, text_tokens=100
    )
    learning = sum(learning for _, learning in counted_parts(run).values())
    parameters = [torch.zeros(learning, requires_grad=True)]
    optimizer = torch.optim.AdamW(parameters)
    parameters[0].grad = torch.ones(learning)
    optimizer.step()
    state = optimizer.state[parameters[0]]
    assert conversation_plan(run)["moments"] == sum(
        value.nbytes for name, value in state.items() if name != "step"
    )
