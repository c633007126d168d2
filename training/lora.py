"""LoRA on the language model, through PEFT: small matrices learn beside the frozen large ones.

While it trains the model has other keys; `merge_lora` makes it an ordinary model again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from mlcd.core.checkpoint import read_json
from mlcd.core.files import atomic_folder, write_text
from mlcd.core.language.vlm import VisionLanguageModel
from mlcd.core.optional import require

_WEIGHTS, _CONFIG = "adapter_model.safetensors", "adapter_config.json"
_OTHERS = "other_weights.safetensors"
"""What learned beside the small matrices, under our names: PEFT does not look at it."""
_PEFT_PREFIX = "base_model.model."
"""What PEFT writes before the keys of an adapter."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora:
    """The size of the small matrices; the defaults are LLaVA's."""

    rank: int = 64
    alpha: int = 16
    """Their product is scaled by alpha / rank."""
    dropout: float = 0.05
    targets: tuple[str, ...] = (
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj",
    )  # fmt: skip
    """The layers of each block that they stand beside: all of its linear ones."""

    def __post_init__(self) -> None:
        if self.rank < 1 or self.alpha < 1 or not 0 <= self.dropout < 1 or not self.targets:
            raise ValueError(f"expected rank and alpha >= 1, dropout in [0, 1), targets: {self}")


def add_lora(vlm: VisionLanguageModel, lora: Lora) -> None:
    """Put fresh small matrices into the language model, where they change nothing yet.

    Only they learn there: the rest of the language model is frozen. ImportError naming the extra
    when PEFT is missing.
    """
    peft = require("peft", extra="train-language")
    vlm.language.requires_grad_(False)
    peft.inject_adapter_in_model(_peft_config(peft, lora), vlm.language)


def lora_weights(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The small matrices in a state dict of the model, under PEFT's keys."""
    return {
        _PEFT_PREFIX + key.removeprefix("language.").replace(".default.", "."): value
        for key, value in state.items()
        if ".lora_A." in key or ".lora_B." in key
    }


def save_lora(
    state: Mapping[str, Tensor],
    folder: Path,
    lora: Lora,
    *,
    base: str,
    others: Mapping[str, Tensor] | None = None,
) -> None:
    """Write the small matrices of a state dict as an adapter folder that PEFT reads too.

    `others` are weights outside of the language model that learned as well.
    """
    peft = require("peft", extra="train-language")
    config = _peft_config(peft, lora).to_dict()
    config |= {"base_model_name_or_path": base, "target_modules": sorted(lora.targets)}
    plain = {name: getattr(value, "value", value) for name, value in config.items()}
    with atomic_folder(folder, overwrite=True) as part:
        weights = {key: value.contiguous() for key, value in lora_weights(state).items()}
        save_file(weights, part / _WEIGHTS, metadata={"format": "pt"})
        if others:
            whole = {key: value.contiguous() for key, value in others.items()}
            save_file(whole, part / _OTHERS, metadata={"format": "pt"})
        write_text(part / _CONFIG, json.dumps(plain, indent=2, default=list) + "\n")


def load_lora(vlm: VisionLanguageModel, folder: Path) -> None:
    """Put the matrices of an adapter folder into the language model, and what learned beside them.

    ValueError, naming the keys, when they are not those of this model.
    """
    said = read_json(folder / _CONFIG)
    if said.get("peft_type") != "LORA":
        raise ValueError(f"{folder}: expected a LoRA adapter, got {said.get('peft_type')!r}")
    lora = Lora(
        rank=said["r"],
        alpha=said["lora_alpha"],
        dropout=said.get("lora_dropout", 0.0),
        targets=tuple(said["target_modules"]),
    )
    weights = load_file(folder / _WEIGHTS)
    add_lora(vlm, lora)
    state = vlm.state_dict()
    expected = {key: value.shape for key, value in lora_weights(state).items()}
    got = {key: value.shape for key, value in weights.items()}
    others = load_file(folder / _OTHERS) if (folder / _OTHERS).exists() else {}
    expected |= {key: state[key].shape for key in others if key in state}
    got |= {key: value.shape for key, value in others.items()}
    if different := sorted(set(expected.items()) ^ set(got.items())):
        raise ValueError(
            f"{folder}: the adapter is of another model: {len(different)} keys or shapes differ, "
            f"first {different[0][0]}"
        )
    with torch.no_grad():
        for key, value in state.items():
            if found := lora_weights({key: value}):
                value.copy_(weights[next(iter(found))])
            elif key in others:
                value.copy_(others[key])


def merge_lora(vlm: VisionLanguageModel) -> None:
    """Add the products of the small matrices to the large ones, and take them out again."""
    tuners = require("peft.tuners.lora", extra="train-language")
    for name, module in list(vlm.language.named_modules()):
        if isinstance(module, tuners.LoraLayer):
            module.merge(safe_merge=True)
            owner, _, own = name.rpartition(".")
            setattr(vlm.language.get_submodule(owner), own, module.get_base_layer())
    for parameter in vlm.language.parameters():
        parameter.requires_grad_(True)
    if hasattr(vlm.language, "peft_config"):
        del vlm.language.peft_config


def _peft_config(peft: Any, lora: Lora) -> Any:
    values = asdict(lora)
    return peft.LoraConfig(
        r=values["rank"],
        lora_alpha=values["alpha"],
        lora_dropout=values["dropout"],
        target_modules=list(values["targets"]),
        task_type="CAUSAL_LM",
    )
