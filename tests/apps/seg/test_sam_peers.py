"""PyPI's `segment-anything` computes the same from the same weights (`make peers`).

    python -m tests.apps.seg.test_sam_peers

writes what it computes into the file that the ordinary tests read.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.apps.seg.sam_by_original import FIXTURE, inputs, original_sam
from tests.apps.seg.toy_sam import random_sam
from torch import Tensor

from mlcd.apps.seg.sam import Sam, sam_weights
from mlcd.apps.seg.sam_files import export_original, load_sam
from mlcd.apps.seg.sam_names import original_name

pytestmark = pytest.mark.peers


@torch.no_grad()
def answers(sam: Sam) -> dict[str, Tensor]:
    """What the original says with our weights under its names."""
    theirs = original_sam(sam.config)
    state = {original_name(key): value for key, value in sam_weights(sam).items()}
    theirs.load_state_dict(state)  # strict
    pixels, prompts, previous = inputs(sam.config)
    embeddings = theirs.image_encoder(pixels)
    positions = theirs.prompt_encoder.get_dense_pe()
    found = {"embeddings": embeddings}
    for suffix, masks in (("", None), ("_after", previous[:, None])):
        _, dense = theirs.prompt_encoder(points=None, boxes=None, masks=masks)
        logits, iou = theirs.mask_decoder(
            image_embeddings=embeddings[:1],
            image_pe=positions,
            sparse_prompt_embeddings=prompts,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )
        found |= {f"logits{suffix}": logits[:, 0], f"iou{suffix}": iou[:, 0]}
    return found


def test_the_stored_numbers_are_those_of_the_original() -> None:
    stored = torch.load(FIXTURE, weights_only=True)
    for name, value in answers(random_sam()).items():
        assert float((value - stored[name]).abs().max()) < 1e-5, name


@pytest.mark.parametrize("seed", [1, 2])
def test_embeddings_masks_and_iou_are_equal(seed: int) -> None:
    sam = random_sam(seed, depth=2, global_blocks=(), window_size=5, decoder_depth=3)
    pixels, prompts, previous = inputs(sam.config)
    with torch.no_grad():
        embeddings = sam.encode(pixels)
        first = sam.decode(embeddings[:1], prompts)
        after = sam.decode(embeddings[:1], prompts, previous)
    ours = {
        "embeddings": embeddings,
        "logits": first.logits,
        "iou": first.iou,
        "logits_after": after.logits,
        "iou_after": after.iou,
    }
    differences = {
        name: float((ours[name] - value).abs().max()) for name, value in answers(sam).items()
    }
    print(differences)
    assert max(differences.values()) < 1e-4


def test_points_and_boxes_are_embedded_alike() -> None:
    sam = random_sam(3)
    theirs = original_sam(sam.config)
    theirs.load_state_dict({original_name(key): value for key, value in sam_weights(sam).items()})
    points, labels = torch.tensor([[[3.0, 50.0], [20.0, 7.5]]]), torch.tensor([[1, 0]])
    boxes = torch.tensor([[4.0, 8.0, 40.0, 33.0]])
    for both in (False, True):
        with torch.no_grad():
            expected, _ = theirs.prompt_encoder((points, labels), boxes if both else None, None)
            found, _ = sam.model.prompt_encoder(
                points[None], labels[None], boxes[None] if both else None, None
            )
        assert float((found[0, 0] - expected[0]).abs().max()) < 1e-4


def test_files_go_both_ways(tmp_path: Path) -> None:
    sam = random_sam(4)
    export_original(sam, tmp_path / "ours.pth")
    theirs = original_sam(sam.config)
    theirs.load_state_dict(torch.load(tmp_path / "ours.pth", weights_only=True))
    torch.save(theirs.state_dict(), tmp_path / "theirs.pth")
    again = load_sam(tmp_path / "theirs.pth")
    assert again.config == sam.config
    for key, value in sam_weights(again).items():
        assert torch.equal(value, sam_weights(sam)[key])


if __name__ == "__main__":
    torch.save({name: value.clone() for name, value in answers(random_sam()).items()}, FIXTURE)
