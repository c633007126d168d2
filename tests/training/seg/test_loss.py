"""The loss is what the paper says, and what learns is what a word or a mask depends on."""

from __future__ import annotations

import pytest
from tests.apps.seg.toy_seg import random_seg
from tests.core.language.toy_models import speckled
from tests.training.language_toys import EVERYTHING

from mlcd.apps.seg.model import SegmentationModel
from mlcd.apps.seg.sam_pixels import logits_in_picture
from mlcd.training.data.conversations import Conversation
from mlcd.training.data.samples import SampleMaker
from mlcd.training.seg.batch import SegExample
from mlcd.training.seg.loss import SegLoss, SegRates, freeze_seg, seg_rate_groups
from mlcd.training.seg.samples import SegSampleMaker

RATES = SegRates(text_to_prompt=3e-4, mask_decoder=8e-4, prompt_encoder=8e-5)


def example(model: SegmentationModel, answer: str, num_masks: int) -> SegExample:
    tokenizer = model.vlm.tokenizer
    assert tokenizer is not None
    maker = SegSampleMaker(
        words=SampleMaker(config=model.config.vlm, tokenizer=tokenizer, mask="clean"),
        sam=model.config.sam,
        seg_id=model.config.seg_id,
    )
    picture = speckled(50, 40)
    masks = [picture[..., number] > 100 for number in range(num_masks)]
    messages = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "\nWhich?"}]},
        {"role": "assistant", "content": answer},
    ]
    return maker(
        Conversation(name="it", messages=messages, pictures=[picture], keys=["it"], masks=masks)
    )


def test_the_loss_is_words_and_twice_the_entropy_and_half_of_dice() -> None:
    model = random_seg()
    one = example(model, "[SEG] and [SEG].", 2)
    model.requires_grad_(False)
    found = SegLoss(model)([one, example(model, "No.", 0)])
    said = model([one.sample])
    entropy, dice = [], []
    for number, mask in enumerate(one.masks):
        own = said.masks[0].logits[number : number + 1]
        logits = logits_in_picture(own, (40, 50), model.config.sam)[0].double()
        p, g = logits.sigmoid(), mask.double()
        entropy.append(-(g * p.log() + (1 - g) * (1 - p).log()).mean())
        dice.append(
            1 - (2 * (p * g).sum() / 1000 + 1e-6) / (p.sum() / 1000 + g.sum() / 1000 + 1e-6)
        )
    assert float(found["masks.cross_entropy"]) == pytest.approx(float(sum(entropy) / 2), rel=1e-4)
    assert float(found["masks.dice"]) == pytest.approx(float(sum(dice) / 2), rel=1e-4)
    expected = 2 * found["masks.cross_entropy"] + 0.5 * found["masks.dice"]
    assert float(found["masks"]) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("num_masks", [0, 2])
def test_everything_that_learns_gets_a_gradient_and_nothing_else(num_masks: int) -> None:
    model = random_seg()
    freeze_seg(model, EVERYTHING, RATES)
    answer = "[SEG] and [SEG]." if num_masks else "No."
    found = SegLoss(model)([example(model, answer, num_masks)])
    (found["words"] + found["masks"]).backward()
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (parameter.grad is not None), name
    assert not any(p.requires_grad for p in model.sam.encoder.parameters())


def test_groups_hold_each_parameter_once_at_its_rate() -> None:
    model = random_seg()
    freeze_seg(model, EVERYTHING, RATES)
    groups = seg_rate_groups(model, EVERYTHING, RATES, weight_decay=0.1)
    names = {id(p): name for name, p in model.named_parameters()}
    found = {names[id(p)]: group["lr"] for group in groups for p in group["params"]}
    assert found.keys() == {name for name, p in model.named_parameters() if p.requires_grad}
    assert sum(len(group["params"]) for group in groups) == len(found)
    for name, rate in found.items():
        if name.startswith("text_to_prompt."):
            assert rate == 3e-4
        elif name.startswith("sam.model.mask_decoder."):
            assert rate == 8e-4
        elif name.startswith("sam."):
            assert rate == 8e-5
        else:
            assert rate in (1e-3, 3e-3)


def test_a_rate_below_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="mask_decoder"):
        SegRates(text_to_prompt=1e-3, mask_decoder=-1.0)
