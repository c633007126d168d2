"""Both stages learn what they should, go on where they were, and give models that load."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import PIL.Image
import pytest
import torch
from tests.training.language_toys import ALIGN, TOY, save_toy, toy_vlm, train, write_conversations

from mlcd.core.language.loading import load_vlm
from mlcd.training.conversation_loss import PartRates, freeze_parts
from mlcd.training.data.conversation_files import ConversationFiles
from mlcd.training.loop import LoopSettings
from mlcd.training.lora import Lora
from mlcd.training.recipes.language_run import muons_for, taken_by
from mlcd.training.recipes.merge_lora import merge_adapter
from mlcd.training.recipes.train_conversations import train_conversations
from mlcd.training.run_log import read_lines


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write_conversations(folder)
    return folder


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_toy(tmp_path_factory.mktemp("toy") / "model")


@pytest.fixture(scope="module")
def tuned(data: Path, model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run with a checkpoint half way."""
    run = tmp_path_factory.mktemp("tuned") / "run"
    assert train(TOY, data, model, run, checkpoint_every=3) == run / "model"
    return run


def losses(run: Path) -> list[float]:
    return [line["loss"] for line in read_lines(run / "losses.jsonl")]


def differs(first: Path, second: Path) -> set[str]:
    """Parts of the model, and blocks of its tower, whose weights are not the same."""
    one, other = (load_vlm(path).state_dict() for path in (first, second))
    return {name.partition(".")[0] for name in one if not torch.equal(one[name], other[name])}


def with_captions(folder: Path) -> Path:
    items = [
        {
            "image": f"{number}.png",
            "conversations": [
                {"from": "human", "value": "Describe it.\n<image>"},
                {"from": "gpt", "value": f"Picture {number}."},
            ],
        }
        for number in range(8)
    ]
    for number in range(8):
        PIL.Image.new("RGB", (40, 30 + number), (30 * number, 0, 99)).save(folder / f"{number}.png")
    (folder / "conversations.json").write_text(json.dumps(items))
    return folder


def test_the_first_stage_changes_the_projector_alone(tmp_path: Path, model: Path) -> None:
    trained = train(ALIGN, with_captions(tmp_path), model, tmp_path / "run")
    assert trained is not None
    kept = load_vlm(trained)
    assert kept.config.template == "plain"
    assert kept.newline is None
    before = toy_vlm().state_dict()
    changed = {
        name.partition(".")[0]
        for name, value in kept.state_dict().items()
        if not torch.equal(value, before[name])
    }
    assert changed == {"projector"}
    run = losses(tmp_path / "run")
    assert run[-1] < run[0]


def test_the_second_stage_goes_on_from_the_first_with_a_newline_of_its_own(
    tmp_path: Path, model: Path, data: Path
) -> None:
    first = train(ALIGN, with_captions(tmp_path), model, tmp_path / "one")
    assert first is not None
    second = train(TOY, data, first, tmp_path / "two")
    assert second is not None
    kept = load_vlm(second)
    assert kept.config.template == "qwen_1_5"
    assert kept.config.pinpoints == ((32, 64), (64, 32), (64, 64))
    assert kept.newline is not None
    card = json.loads((second / "model_card.json").read_text())
    assert card["recipe"]["settings"]["start"] == str(first)


def test_the_second_stage_teaches_all_parts(tuned: Path, model: Path) -> None:
    assert differs(tuned / "model", model) == {"tower", "projector", "newline", "language"}
    curve = losses(tuned)
    assert len(curve) == 6
    assert curve[-1] < curve[0] - 0.2
    assert (tuned / "losses.png").exists()


def test_a_run_that_was_cut_off_goes_on_bit_for_bit(
    tmp_path: Path, tuned: Path, data: Path, model: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(tuned, run)
    shutil.rmtree(run / "model")
    shutil.rmtree(run / "checkpoints" / "step-00000006")
    assert train(TOY, data, model, run, checkpoint_every=3) is not None
    assert losses(run) == losses(tuned)
    assert differs(run / "model", tuned / "model") == set()


def test_a_folder_with_another_run_is_refused(
    tmp_path: Path, tuned: Path, data: Path, model: Path
) -> None:
    with pytest.raises(ValueError, match=r"settings: .*rates\.tower was 0\.001 and is 0\.002"):
        train(replace(TOY, rates=replace(TOY.rates, tower=2e-3)), data, model, tuned)
    other = write_conversations(tmp_path, count=13).parent
    with pytest.raises(ValueError, match="other settings: conversations was"):
        train(TOY, other, model, tuned)


def test_parts_of_a_batch_add_up_to_it(
    tmp_path: Path, tuned: Path, data: Path, model: Path
) -> None:
    train(replace(TOY, accumulate=3), data, model, tmp_path)
    assert losses(tmp_path) == pytest.approx(losses(tuned), rel=1e-5)


def test_a_checkpoint_holds_only_what_learns(tmp_path: Path, model: Path) -> None:
    from safetensors import safe_open

    train(ALIGN, with_captions(tmp_path), model, tmp_path / "run")
    newest = sorted((tmp_path / "run" / "checkpoints").iterdir())[-1]
    with safe_open(newest / "model.safetensors", framework="pt") as file:
        names = set(file.keys())
    assert {name.split(".")[2] for name in names} == {"projector"}
    assert len(names) == 4 * (1 + 3)  # weights, and three moments of each


def test_kept_features_teach_about_the_same(tmp_path: Path, data: Path, model: Path) -> None:
    recipe = replace(TOY, rates=PartRates(projector=3e-3, language=3e-3, newline=3e-3))
    train(recipe, data, model, tmp_path / "pixels")
    folder = tmp_path / "features"

    def with_features() -> Path | None:
        from mlcd.training.recipes.starting_vlm import relaid_vlm

        return train_conversations(
            recipe,
            lambda dtype: relaid_vlm(recipe, model, dtype=dtype),
            ConversationFiles(data / "conversations.json", images=data),
            tmp_path / "kept",
            cache=folder,
            loop=LoopSettings(log_every=1, workers=0, tensorboard=False),
        )

    with_features()
    assert losses(tmp_path / "kept") == pytest.approx(losses(tmp_path / "pixels"), rel=1e-3)
    assert len(list(folder.glob("*/*.safetensors"))) == 9
    with pytest.raises(ValueError, match="kept features are for a frozen tower"):
        train_conversations(
            TOY, lambda _: toy_vlm(), _nothing(data), tmp_path / "x", cache=folder
        )  # fmt: skip


def _nothing(data: Path) -> ConversationFiles:
    return ConversationFiles(data / "conversations.json", images=data)


def test_lora_gives_a_merged_model_and_an_adapter_that_merges_to_it(
    tmp_path: Path, data: Path, model: Path
) -> None:
    recipe = replace(TOY, lora=Lora(rank=4, dropout=0.0))
    trained = train(recipe, data, model, tmp_path / "run")
    assert trained is not None
    assert differs(trained, model) == {"tower", "projector", "newline", "language"}
    difference = merge_adapter(str(model), tmp_path / "run" / "adapter", tmp_path / "merged")
    assert difference < 1e-3
    assert differs(tmp_path / "merged", trained) == set()


def test_a_model_without_a_tokenizer_is_refused(tmp_path: Path, data: Path) -> None:
    bare = toy_vlm()
    bare.tokenizer = None
    with pytest.raises(ValueError, match="has no tokenizer"):
        train_conversations(TOY, lambda _: bare, _nothing(data), tmp_path)


def test_muon_and_averages_are_trained_with_copies_on_every_rank(
    tmp_path: Path, data: Path, model: Path
) -> None:
    both = replace(TOY, matrix_lr=0.01, average_decay=0.9)
    with pytest.raises(ValueError, match="need whole weights on every rank, and zero3 spreads"):
        train(both, data, model, tmp_path / "x", way="zero3")
    assert train(both, data, model, tmp_path / "run") is not None
    assert losses(tmp_path / "run")[-1] < losses(tmp_path / "run")[0]


def test_muon_trains_the_matrices_that_have_a_rate_and_adamw_the_others(model: Path) -> None:
    vlm = load_vlm(model)
    freeze_parts(vlm, TOY.rates)
    names = {id(parameter): name for name, parameter in vlm.named_parameters()}

    def taken(**rates: float) -> set[str]:
        muons = muons_for(vlm, replace(TOY, **rates))
        assert [group["lr"] for muon in muons for group in muon.param_groups] == [*rates.values()]
        return {names[id(parameter)] for parameter in taken_by(muons)}

    assert taken() == set()
    both = taken(matrix_lr=0.01, tower_matrix_lr=0.02)
    assert both == taken(matrix_lr=0.01) | taken(tower_matrix_lr=0.02)
    assert "tower.blocks.0.mlp.fc1.weight" in both
    assert "language.model.layers.1.mlp.up_proj.weight" in both
    assert not any(name.startswith("tower.blocks.2.") for name in both)  # nothing looks at it
    assert all(vlm.get_parameter(name).ndim == 2 for name in both)
    for wrong in ({"tower_matrix_lr": -1.0}, {"matrix_lr": 0.0}):
        with pytest.raises(ValueError, match=f"expected a {next(iter(wrong))}"):
            replace(TOY, **wrong)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"tower_matrix_lr beside a rates\.tower"):
        replace(ALIGN, tower_matrix_lr=0.1)
