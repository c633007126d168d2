"""The state at each [SEG] becomes a mask, wherever pictures stand."""

from __future__ import annotations

import pytest
import torch
from tests.apps.seg.toy_sam import toy_sam_config
from tests.apps.seg.toy_seg import random_seg, seg_sample
from tests.core.towers.toy_towers import difference
from torch import Tensor

from mlcd.apps.seg.config import SegConfig
from mlcd.apps.seg.model import SegmentationModel, SegSample
from mlcd.apps.seg.presets import mlcd_seg_7b
from mlcd.apps.seg.source import build_empty
from mlcd.core.language.config import IGNORE, IMAGE_TOKEN

SEG = 259
PICTURE = IMAGE_TOKEN


def count(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_the_published_model_has_the_published_parameters() -> None:
    model = build_empty(mlcd_seg_7b())
    assert count(model.vlm.language) == 7_612_763_648
    assert count(model.vlm.tower) == 303_507_456
    assert count(model.vlm.projector) == 16_522_240
    assert count(model.sam) == 641_090_608
    assert count(model.text_to_prompt) == 983_552
    assert count(model) == 8_574_871_088
    assert model.config.seg_id == 151_665
    assert len(model.config.vlm.pinpoints) == 10


def state_by_hand(model: SegmentationModel, sample: SegSample, place: int) -> Tensor:
    """The last hidden state at the `place`-th id, from Transformers' own decoder."""
    vlm, conversation = model.vlm, sample.conversation
    pictures = vlm.encode(conversation.tiles)
    parts, where, following = [], -1, iter(pictures)
    for number, token in enumerate(conversation.ids.tolist()):
        if number == place:
            where = sum(len(part) for part in parts)
        if token == PICTURE:
            parts.append(next(following))
        else:
            parts.append(vlm.language.get_input_embeddings()(torch.tensor([token])))
    everything = torch.cat(parts)[None]
    output = vlm.language(inputs_embeds=everything, output_hidden_states=True)
    state: Tensor = output.hidden_states[-1][0, where]
    return state


@pytest.mark.parametrize(
    ("ids", "num_pictures"),
    [
        ([PICTURE, 5, 6, SEG, 7], 1),  # before it
        ([5, SEG, 6, PICTURE, 7], 1),  # after it
        ([PICTURE, 5, SEG, PICTURE, 6], 2),  # on both sides
        ([SEG, PICTURE, SEG, 3, PICTURE, SEG], 2),  # several, and pictures between them
        ([PICTURE, 4, PICTURE, SEG, SEG, PICTURE, 8, SEG], 3),
        ([5, 6, SEG], 0),
    ],
)
def test_the_state_is_taken_at_seg_wherever_pictures_stand(
    ids: list[int], num_pictures: int
) -> None:
    model = random_seg()
    labels = [token if token == SEG else IGNORE for token in ids]
    sample = seg_sample(model, ids, labels, num_pictures)
    with torch.no_grad():
        (masks,) = model([sample]).masks
        places = [place for place, token in enumerate(ids) if token == SEG]
        assert len(masks.logits) == len(places)
        assert sample.pixels is not None
        embeddings = model.sam.encode(sample.pixels)
        for number, place in enumerate(places):
            state = state_by_hand(model, sample, place)
            picture = embeddings[[number % len(embeddings)]]  # as published, in turns
            expected = model.sam.decode(picture, model.text_to_prompt(state)[None, None])
            assert difference(masks.logits[number], expected.logits[0]) < 1e-4
            assert difference(masks.iou[number], expected.iou[0]) < 1e-4


def test_only_segs_that_are_learned_become_masks() -> None:
    model = random_seg()
    ids = [PICTURE, SEG, 5, SEG]
    sample = seg_sample(model, ids, [IGNORE, IGNORE, IGNORE, SEG], 1)
    (masks,) = model([sample]).masks
    assert len(masks.logits) == 1


def batch(model: SegmentationModel) -> list[SegSample]:
    """Two masks, none, one, and a talk without a picture."""
    return [
        seg_sample(model, [PICTURE, 5, SEG, 6, SEG], [IGNORE, IGNORE, SEG, 6, SEG], 1),
        seg_sample(model, [PICTURE, 5, 9], [IGNORE, IGNORE, 9], 1),
        seg_sample(model, [3, PICTURE, SEG], [IGNORE, IGNORE, SEG], 1),
        seg_sample(model, [3, 4, 5], [IGNORE, 4, 5], 0)._replace(pixels=None),
    ]


def test_a_batch_gives_each_sample_the_masks_that_it_has_alone() -> None:
    model = random_seg()
    with torch.no_grad():
        together = model(batch(model))
        assert [len(own.logits) for own in together.masks] == [2, 0, 1, 0]
        for sample, own in zip(batch(model), together.masks, strict=True):
            (alone,) = model([sample]).masks
            assert own.logits.shape[1:] == (32, 32)
            if len(own.logits):
                assert difference(own.logits, alone.logits) < 1e-4


def test_embeddings_that_were_kept_give_the_same_masks() -> None:
    model = random_seg()
    samples = batch(model)
    with torch.no_grad():
        kept = [
            sample
            if sample.pixels is None
            else sample._replace(pixels=None, embeddings=model.sam.encode(sample.pixels))
            for sample in samples
        ]
        for first, second in zip(model(samples).masks, model(kept).masks, strict=True):
            assert first.logits.shape == second.logits.shape
            if len(first.logits):
                assert difference(first.logits, second.logits) < 1e-4


def test_a_mask_without_a_picture_for_the_sam_is_refused() -> None:
    model = random_seg()
    sample = seg_sample(model, [PICTURE, SEG], [IGNORE, SEG], 1)._replace(pixels=None)
    with pytest.raises(ValueError, match="sample 0 has 1 masks and no picture for the SAM"):
        model([sample])
    unlabelled = sample._replace(conversation=sample.conversation._replace(labels=None))
    with pytest.raises(ValueError, match="without labels"):
        model([unlabelled])


def test_gradients_reach_all_but_a_frozen_image_encoder() -> None:
    model = random_seg().train()
    model.sam.encoder.requires_grad_(False)
    output = model(batch(model))
    loss = output.language.loss + sum(own.logits.square().mean() for own in output.masks[::2])
    loss.backward()
    trained = {name for name, value in model.named_parameters() if value.grad is not None}
    assert not any(name.startswith("sam.model.vision_encoder") for name in trained)
    for part in ("text_to_prompt.0.weight", "vlm.projector.0.weight", "vlm.newline"):
        assert part in trained
    assert any("mask_decoder" in name for name in trained)
    assert any("language.model.layers.0" in name for name in trained)


def test_a_batch_without_masks_can_be_learned_from() -> None:
    model = random_seg().train()
    output = model(batch(model)[1:2])
    assert [len(own.logits) for own in output.masks] == [0]
    assert output.masks[0].logits.shape == (0, 32, 32)
    (output.language.loss + 0 * output.masks[0].logits.sum()).backward()
    assert model.vlm.projector[0].weight.grad is not None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seg_id": 260}, "seg_id 260: expected an id below the 260 rows"),
        ({"question": "Where is it?"}, r"expected a text with \{phrase\} in it once"),
        ({"answer": "[SEG][SEG]"}, r"expected a text with \[SEG\] in it once"),
    ],
)
def test_a_config_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    config = random_seg().config
    assert config.sam == toy_sam_config()
    with pytest.raises(ValueError, match=message):
        SegConfig.from_dict(config.to_dict() | changes)


def test_a_config_comes_back_from_json() -> None:
    for config in (mlcd_seg_7b(), random_seg().config):
        assert SegConfig.from_dict(config.to_dict()) == config
    values = random_seg().config.to_dict()
    with pytest.raises(ValueError, match="unknown settings"):
        SegConfig.from_dict(values | {"colour": 1})
    with pytest.raises(ValueError, match="settings missing: seg_id"):
        SegConfig.from_dict({key: values[key] for key in ("vlm", "sam")})
