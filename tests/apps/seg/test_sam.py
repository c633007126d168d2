"""A SAM of ours is the original one: names, sizes, and (from a file that the original wrote)
numbers.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.apps.seg.sam_by_original import FIXTURE, inputs
from tests.apps.seg.toy_sam import random_sam, toy_sam_config
from torch import Tensor

from mlcd.apps.seg.sam import Sam, sam_weights
from mlcd.apps.seg.sam_config import SamConfig, sam_vit_b, sam_vit_h, sam_vit_l
from mlcd.apps.seg.sam_files import empty_sam, export_original, load_sam, recognise_sam, save_sam
from mlcd.apps.seg.sam_names import original_name, our_name


def count(module: torch.nn.Module) -> int:
    return sum(value.numel() for value in module.parameters())


def test_the_published_sizes_have_the_published_parameters() -> None:
    sam = empty_sam(sam_vit_h())
    parts = (sam.model.vision_encoder, sam.model.prompt_encoder, sam.model.mask_decoder)
    assert [count(part) for part in parts] == [637_026_048, 6_220, 4_058_340]
    assert count(sam) == 641_090_608
    assert count(empty_sam(sam_vit_l())) == 312_342_832
    assert count(empty_sam(sam_vit_b())) == 93_735_472


@pytest.mark.parametrize("config", [sam_vit_h(), sam_vit_b(), toy_sam_config()])
def test_names_go_to_the_original_and_back(config: SamConfig) -> None:
    ours = list(sam_weights(empty_sam(config)))
    originals = [original_name(key) for key in ours]
    assert len(set(originals)) == len(ours)
    assert [our_name(key) for key in originals] == ours
    assert not set(originals) & {key for key in ours if key.startswith("vision_encoder")}


@pytest.mark.parametrize(
    ("ours", "original"),
    [
        ("vision_encoder.layers.11.layer_norm2.bias", "image_encoder.blocks.11.norm2.bias"),
        ("vision_encoder.layers.0.attn.rel_pos_w", "image_encoder.blocks.0.attn.rel_pos_w"),
        ("vision_encoder.neck.layer_norm2.weight", "image_encoder.neck.3.weight"),
        ("prompt_encoder.mask_embed.conv3.bias", "prompt_encoder.mask_downscaling.6.bias"),
        ("prompt_encoder.point_embed.2.weight", "prompt_encoder.point_embeddings.2.weight"),
        (
            "mask_decoder.output_hypernetworks_mlps.3.proj_out.bias",
            "mask_decoder.output_hypernetworks_mlps.3.layers.2.bias",
        ),
        (
            "mask_decoder.iou_prediction_head.layers.0.weight",
            "mask_decoder.iou_prediction_head.layers.1.weight",
        ),
    ],
)
def test_a_few_names_by_hand(ours: str, original: str) -> None:
    assert original_name(ours) == original
    assert our_name(original) == ours


def test_a_name_of_another_model_is_refused() -> None:
    with pytest.raises(ValueError, match=r"lm_head\.weight: no parameter"):
        original_name("lm_head.weight")
    with pytest.raises(ValueError, match=r"backbone\.0: no parameter"):
        our_name("backbone.0")


def test_it_computes_what_the_original_computed() -> None:
    """The file was written by `test_sam_peers.py`, from the same random weights."""
    stored: dict[str, Tensor] = torch.load(FIXTURE, weights_only=True)
    sam = random_sam()
    pixels, prompts, previous = inputs(sam.config)
    with torch.no_grad():
        embeddings = sam.encode(pixels)
        masks = sam.decode(embeddings[:1], prompts)
        after = sam.decode(embeddings[:1], prompts, previous)
    for name, value in {
        "embeddings": embeddings,
        "logits": masks.logits,
        "iou": masks.iou,
        "logits_after": after.logits,
        "iou_after": after.iou,
    }.items():
        assert value.shape == stored[name].shape, name
        assert float(stored[name].std()) > 0.01, name
        assert float((value - stored[name]).abs().max()) < 1e-4, name


def test_prompts_of_several_pictures_are_answered_as_alone() -> None:
    sam = random_sam()
    pixels, prompts, previous = inputs(sam.config)
    with torch.no_grad():
        embeddings = sam.encode(pixels)
        together = sam.decode(embeddings[[0, 1, 0]], prompts, previous)
        for row, picture in enumerate((0, 1, 0)):
            alone = sam.decode(
                embeddings[[picture]], prompts[row : row + 1], previous[row : row + 1]
            )
            assert float((alone.logits[0] - together.logits[row]).abs().max()) < 1e-5
            assert float((alone.iou[0] - together.iou[row]).abs().max()) < 1e-5


def test_the_table_of_positions_is_one_and_not_trained() -> None:
    sam = Sam(toy_sam_config())
    model = sam.model
    table = model.shared_image_embedding.positional_embedding
    assert model.prompt_encoder.shared_embedding.positional_embedding is table
    assert not any("positional" in name for name, _ in sam.named_parameters())
    assert 0.5 < float(table.std()) < 1.5


def test_a_fresh_decoder_tells_prompts_apart() -> None:
    torch.manual_seed(0)
    sam = Sam(toy_sam_config())
    pixels, prompts, _ = inputs(sam.config)
    with torch.no_grad():
        logits = sam.decode(sam.encode(pixels)[:1], prompts).logits
    assert float((logits[0] - logits[1]).abs().max()) > 0.01


def test_a_folder_of_transformers_is_written_and_read(tmp_path: Path) -> None:
    from transformers import SamModel

    sam = random_sam(mean=(100.5, 110.25, 90.0))
    save_sam(sam, tmp_path / "sam", card={"data": "none"})
    again = load_sam(tmp_path / "sam")
    assert again.config == sam.config
    assert all(
        torch.equal(value, sam_weights(sam)[key]) for key, value in sam_weights(again).items()
    )
    theirs, report = SamModel.from_pretrained(tmp_path / "sam", output_loading_info=True)
    assert not report["missing_keys"]
    assert not report["unexpected_keys"]
    pixels, _, _ = inputs(sam.config)
    points = torch.tensor([[[[20.0, 30.0]]]])
    with torch.no_grad():
        expected = sam.model(pixels[:1], input_points=points, multimask_output=False)
        found = theirs.eval()(pixels[:1], input_points=points, multimask_output=False)
    assert float((expected.pred_masks - found.pred_masks).abs().max()) < 1e-5


def test_an_original_file_is_written_and_read(tmp_path: Path) -> None:
    sam = random_sam()
    export_original(sam, tmp_path / "sam.pth")
    source = recognise_sam(tmp_path / "sam.pth")
    assert source.config == sam.config
    again = load_sam(tmp_path / "sam.pth")
    assert all(
        torch.equal(value, sam_weights(sam)[key]) for key, value in sam_weights(again).items()
    )


def test_what_an_original_file_cannot_state_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="cannot state decoder_heads 4"):
        export_original(random_sam(decoder_heads=4), tmp_path / "sam.pth")
    assert not (tmp_path / "sam.pth").exists()


def test_weights_of_another_shape_are_named(tmp_path: Path) -> None:
    sam = random_sam()
    state = {original_name(key): value for key, value in sam_weights(sam).items()}
    del state["mask_decoder.iou_token.weight"]
    torch.save(state, tmp_path / "a.pth")
    with pytest.raises(ValueError, match=r"a\.pth: no original SAM.*mask_decoder\.iou_token"):
        load_sam(tmp_path / "a.pth")
    state = {original_name(key): value for key, value in sam_weights(sam).items()}
    del state["image_encoder.neck.2.weight"]
    state["decoder.extra"] = torch.zeros(2)
    torch.save(state, tmp_path / "b.pth")
    with pytest.raises(ValueError, match=r"1 missing key: image_encoder\.neck\.2\.weight; 1 unexp"):
        load_sam(tmp_path / "b.pth")


def test_pickled_code_is_not_run(tmp_path: Path) -> None:
    torch.save({"image_encoder.pos_embed": Path("x")}, tmp_path / "sam.pth")
    with pytest.raises(ValueError, match="it was not executed"):
        load_sam(tmp_path / "sam.pth")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"image_size": 65}, "image_size 65: expected a multiple of 8"),
        ({"width": 25}, "width 25: expected a multiple of 3"),
        ({"prompt_width": 36}, "prompt_width 36: expected a multiple of 16"),
        ({"global_blocks": (3,)}, "numbers of the 3 blocks"),
        ({"depth": 0}, "depth: expected a positive whole number"),
        ({"std": (1.0, 0.0, 1.0)}, "std above 0"),
    ],
)
def test_a_config_that_cannot_be_is_refused(changes: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toy_sam_config(**changes)


def test_a_config_comes_back_from_json() -> None:
    for config in (sam_vit_h(), toy_sam_config()):
        assert SamConfig.from_dict(config.to_dict()) == config
    with pytest.raises(ValueError, match="unknown settings"):
        SamConfig.from_dict({**sam_vit_b().to_dict(), "colour": 3})
    with pytest.raises(ValueError, match="settings missing: depth"):
        SamConfig.from_dict({k: v for k, v in sam_vit_b().to_dict().items() if k != "depth"})
