"""What is exported is read by the programs it is for, computes the same there, and comes back; what
a layout cannot express is refused by name.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.core.language.formats.folders import HF_RULES, LANGUAGE, same_weights, speaking_vlm
from tests.core.language.toy_models import speckled
from tests.core.language.toy_tokenizer import VOCAB_SIZE, byte_tokenizer
from tests.core.towers.toy_towers import difference, random_tower, toy_config
from transformers import AutoModelForImageTextToText, AutoProcessor

from mlcd.core.checkpoint import read_json
from mlcd.core.images import Preprocess
from mlcd.core.language import VisionLanguageModel, load_vlm, save_vlm
from mlcd.core.language import export as exporting
from mlcd.core.language.export import Layout, export_vlm
from mlcd.core.language.templates import render
from mlcd.core.language.tiles import cut_images
from mlcd.core.language.vlm import Sample
from mlcd.core.towers import load_tower
from mlcd.core.towers.config import Form

LAYOUTS: tuple[Layout, ...] = ("ours", "llava-next", "transformers")
RULES = ("unpad_rule", "several_images")
SIZES = {"square": (40, 40), "wide": (130, 30), "tall": (20, 90), "tiny": (3, 2)}


def saved(folder: Path, form: Form = "clip", **changes: Any) -> VisionLanguageModel:
    vlm = speaking_vlm(form, **changes)
    save_vlm(vlm, folder)
    return vlm


@pytest.mark.parametrize("form", ["clip", "rope2d"])
@pytest.mark.parametrize(("first", "second"), list(permutations(LAYOUTS, 2)))
def test_round_trips_in_all_directions(
    first: Layout, second: Layout, form: Form, tmp_path: Path
) -> None:
    vlm = saved(tmp_path / "source", form)
    for layout, source, target in (
        (first, "source", "first"),
        (second, "first", "second"),
        ("ours", "second", "back"),
    ):
        done = export_vlm(tmp_path / source, tmp_path / target, to=layout, accept=RULES)
        assert done.max_difference < 1e-4 < done.largest_logit
    back = load_vlm(tmp_path / "back")
    assert same_weights(back, vlm)
    rules = {"unpad_rule": 0, "several_images": 0, "language": 0}
    assert back.config.to_dict() | rules == vlm.config.to_dict() | rules


@pytest.mark.parametrize("form", ["clip", "rope2d"])
@pytest.mark.parametrize("is_tied", [False, True])
def test_transformers_reads_the_folder_and_computes_the_same(
    form: Form, is_tied: bool, tmp_path: Path
) -> None:
    """By its own automatic classes, from the text and the pictures on."""
    language = {**LANGUAGE, "tie_word_embeddings": is_tied}
    vlm = saved(tmp_path / "ours", form, language=language, **HF_RULES)
    export_vlm(tmp_path / "ours", tmp_path / "theirs", to="transformers")
    processor = AutoProcessor.from_pretrained(tmp_path / "theirs")
    model = AutoModelForImageTextToText.from_pretrained(tmp_path / "theirs").eval()
    for sizes in ([SIZES["square"]], [SIZES["wide"]], [SIZES["tiny"], SIZES["tall"]]):
        pictures = [speckled(*size) for size in sizes]
        content = [{"type": "image"} for _ in pictures] + [{"type": "text", "text": "Who is it?"}]
        messages = [{"role": "user", "content": content}]
        text = processor.apply_chat_template(messages, add_generation_prompt=True)
        inputs = processor(images=pictures, text=text, return_tensors="pt")
        ids = torch.tensor(render(messages, "qwen_1_5", byte_tokenizer()))
        with torch.no_grad():
            theirs = model(**inputs).logits[0]
            ours = vlm([Sample(ids, None, cut_images(pictures, vlm.config))]).logits
        assert difference(ours[0], theirs) < 1e-4
    assert model.generation_config.eos_token_id == [258]


def test_the_key_names_are_the_published_ones(tmp_path: Path) -> None:
    saved(tmp_path / "ours", **HF_RULES)
    export_vlm(tmp_path / "ours", tmp_path / "theirs", to="transformers")
    keys = set(load_file(tmp_path / "theirs" / "model.safetensors"))
    assert {
        "image_newline",
        "language_model.lm_head.weight",
        "language_model.model.embed_tokens.weight",
        "language_model.model.layers.0.self_attn.q_proj.bias",
        "multi_modal_projector.linear_1.weight",
        "multi_modal_projector.linear_2.bias",
        "vision_tower.vision_model.embeddings.class_embedding",
        "vision_tower.vision_model.pre_layrnorm.weight",
    } <= keys
    values = read_json(tmp_path / "theirs" / "config.json")
    assert values["image_grid_pinpoints"][0] == [64, 32]  # ours is 32 wide and 64 high
    assert values["text_config"]["rope_theta"] == 1_000_000.0


def test_a_full_table_gets_a_row_that_no_answer_chooses(tmp_path: Path) -> None:
    full = {**LANGUAGE, "vocab_size": VOCAB_SIZE}
    vlm = saved(tmp_path / "ours", language=full, **HF_RULES)
    done = export_vlm(tmp_path / "ours", tmp_path / "theirs", to="transformers")
    assert done.max_difference < 1e-4
    longer = load_vlm(tmp_path / "theirs")
    head, old = longer.language.lm_head.weight, vlm.language.lm_head.weight
    assert longer.config.language["vocab_size"] == len(head) == VOCAB_SIZE + 1
    assert torch.equal(head[:-1], old)
    hidden = torch.randn(200, head.shape[1], generator=torch.Generator().manual_seed(0))
    assert int((hidden @ head.T).argmax(dim=1).max()) < VOCAB_SIZE


def test_half_precision_is_kept_or_chosen(tmp_path: Path) -> None:
    save_vlm(speaking_vlm(**HF_RULES), tmp_path / "ours", dtype=torch.bfloat16)
    done = export_vlm(tmp_path / "ours", tmp_path / "kept", to="transformers")
    assert (done.dtype, done.computed_in) == ("bfloat16", "float32")
    assert done.max_difference < 1e-4
    state = load_file(tmp_path / "kept" / "model.safetensors")
    assert {value.dtype for value in state.values()} == {torch.bfloat16}
    done = export_vlm(
        tmp_path / "ours", tmp_path / "half", to="llava-next", dtype="float16", accept=RULES
    )
    assert done.dtype == "float16"
    assert load_file(tmp_path / "half" / "model.safetensors")["lm_head.weight"].dtype == torch.half


def test_a_large_model_is_computed_in_its_own_number_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exporting, "_LARGE", 1000)
    save_vlm(speaking_vlm(**HF_RULES), tmp_path / "source", dtype=torch.bfloat16)
    for layout in LAYOUTS:
        done = export_vlm(tmp_path / "source", tmp_path / layout, to=layout, accept=RULES)
        assert done.computed_in == "bfloat16"
        assert done.max_difference <= 5e-2


def test_llava_next_finds_its_tower_in_the_folder_or_by_the_name_given(tmp_path: Path) -> None:
    vlm = saved(tmp_path / "ours")
    export_vlm(tmp_path / "ours", tmp_path / "whole", to="llava-next")
    assert read_json(tmp_path / "whole" / "config.json")["mm_vision_tower"] == "vision_tower"
    tower = load_tower(tmp_path / "whole" / "vision_tower")
    assert tower.config == vlm.config.tower
    export_vlm(tmp_path / "ours", tmp_path / "named", to="llava-next", tower_name="some/tower")
    assert read_json(tmp_path / "named" / "config.json")["mm_vision_tower"] == "some/tower"
    assert not (tmp_path / "named" / "vision_tower").exists()


@pytest.mark.parametrize(
    ("layout", "changes", "message"),
    [
        ("transformers", {}, "unpad_rule 'truncate': LlavaNext rounds.*--accept unpad_rule"),
        ("transformers", {}, "several_images 'padded': LlavaNext cuts each"),
        ("transformers", {"max_tiles": 2}, r"max_tiles 2: LlavaNext has no limit .*anyres_max_N"),
        (
            "transformers",
            {"image_layout": "pad", "pinpoints": ()},
            "image_layout 'pad': LlavaNext cuts every picture into tiles(?!.*accept image_layout)",
        ),
        ("transformers", {"merge": "flat"}, "merge 'flat': LlavaNext always unpads"),
        ("llava-next", HF_RULES, "unpad_rule 'round': LLaVA-NeXT truncates.*--accept unpad_rule"),
        ("llava-next", HF_RULES, "several_images 'tiled': LLaVA-NeXT pads each"),
        (
            "llava-next",
            {
                "language": {
                    **LANGUAGE,
                    "rope_parameters": {
                        "rope_type": "linear",
                        "factor": 2.0,
                        "rope_theta": 1e6,
                    },
                }
            },
            "language.rope_parameters 'linear': LLaVA-NeXT's class takes no scaling",
        ),
        ("transformers", {"tower": toy_config("unicom")}, "tower.form 'unicom': LlavaNext has no"),
        ("llava-next", {"tower": toy_config("unicom")}, "tower.form 'unicom': LLaVA-NeXT has no"),
        (
            "llava-next",
            {"tower": toy_config("clip", preprocess=Preprocess(size=32, resize_to=40))},
            "tower.preprocess.resize_to 40",
        ),
    ],
)
def test_what_a_layout_cannot_express_is_refused_by_name(
    layout: Layout, changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    saved(tmp_path / "ours", changes.get("tower", toy_config("clip")).form, **changes)
    with pytest.raises(ValueError, match=message):
        export_vlm(tmp_path / "ours", tmp_path / "out", to=layout)
    assert not (tmp_path / "out").exists()


def test_what_is_accepted_is_written_as_the_layout_has_it(tmp_path: Path) -> None:
    vlm = saved(tmp_path / "ours", max_tiles=1)
    accepted = (*RULES, "max_tiles")
    done = export_vlm(tmp_path / "ours", tmp_path / "out", to="transformers", accept=accepted)
    assert {change.setting for change in done.changes} == set(accepted)
    expected = replace(vlm.config, max_tiles=None, unpad_rule="round", several_images="tiled")
    assert done.config == expected
    with pytest.raises(ValueError, match="max_tiles 1"):
        export_vlm(tmp_path / "ours", tmp_path / "other", to="transformers", accept=RULES)


def test_a_scaling_of_positions_is_written_for_transformers(tmp_path: Path) -> None:
    rope = {"rope_type": "linear", "factor": 2.0, "rope_theta": 1e6}
    saved(tmp_path / "ours", language={**LANGUAGE, "rope_parameters": rope}, **HF_RULES)
    done = export_vlm(tmp_path / "ours", tmp_path / "out", to="transformers")
    assert done.max_difference < 1e-4
    assert load_vlm(tmp_path / "out").config.language["rope_parameters"]["factor"] == 2.0


def test_the_plain_template_goes_along(tmp_path: Path) -> None:
    saved(tmp_path / "ours", template="plain", **HF_RULES)
    export_vlm(tmp_path / "ours", tmp_path / "out", to="transformers")
    assert load_vlm(tmp_path / "out").config.template == "plain"


def test_a_model_without_tokenizer_is_refused(tmp_path: Path) -> None:
    vlm = speaking_vlm()
    vlm.tokenizer = None
    save_vlm(vlm, tmp_path / "ours")
    with pytest.raises(ValueError, match="no tokenizer, without which the written folder could"):
        export_vlm(tmp_path / "ours", tmp_path / "out", to="llava-next")


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_folder_that_computes_something_else_is_not_left_behind(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The writer is given another tower than the one that is compared with."""
    saved(tmp_path / "ours", **HF_RULES)
    writers = {"ours": "save_vlm", "llava-next": "write_llava_next"}
    name = writers.get(layout, "write_transformers")
    write = getattr(exporting, name)

    def write_another(vlm: VisionLanguageModel, *arguments: Any, **settings: Any) -> None:
        kept, vlm.tower = vlm.tower, random_tower("clip", seed=9)
        write(vlm, *arguments, **settings)
        vlm.tower = kept

    monkeypatch.setattr(exporting, name, write_another)
    with pytest.raises(ValueError, match="was not written: read again, the model computes somethi"):
        export_vlm(tmp_path / "ours", tmp_path / "out", to=layout, accept=RULES)
    assert [path.name for path in tmp_path.iterdir()] == ["ours"]


def test_a_folder_that_is_there_is_kept_unless_it_may_go(tmp_path: Path) -> None:
    saved(tmp_path / "ours")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    with pytest.raises(FileExistsError, match="not empty"):
        export_vlm(tmp_path / "ours", tmp_path / "out", to="llava-next")
    assert (tmp_path / "out" / "mine.txt").exists()
    export_vlm(tmp_path / "ours", tmp_path / "out", to="llava-next", overwrite=True)
    assert not (tmp_path / "out" / "mine.txt").exists()
