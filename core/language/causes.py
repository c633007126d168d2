"""The likely cause of what is wrong with a vision-language model's keys, in words, with what to do
about it. `doctor.py` tells all of them, `loading.py` the most telling one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mlcd.core.checkpoint import KeyReport
from mlcd.core.language.formats.families import family_of_keys
from mlcd.core.language.formats.source import VlmSource
from mlcd.core.towers import causes as tower_causes
from mlcd.core.towers.convert import Source as TowerSource
from mlcd.core.towers.naming import HUGGINGFACE

_TABLES = ("embed_tokens.weight", "lm_head.weight")
_BLOCK = re.compile(r"(?:^|\.)layers\.(\d+)\.(?:self_attn|mlp)\.[\w.]+$")
_WRAPPERS = ("module.", "_orig_mod.", "base_model.model.")


def causes_of_keys(found: Iterable[str]) -> list[str]:
    """What weights with these keys are, whatever their config.json says; empty if none is known."""
    keys = list(found)
    if family := family_of_keys(keys):
        return [f"by its weights it is another model than config.json says: {family}"]
    if wrapper := _wrapper(keys):
        return [
            f"every key begins with {wrapper!r}, which a wrapper of training wrote: save them "
            "without it"
        ]
    return []


def causes_of_report(source: VlmSource, report: KeyReport) -> list[str]:
    """Why a model's keys are not those of its architecture, most telling first; empty when they are
    or when no cause is known.
    """
    if report.is_clean:
        return []
    if report.unexpected and (causes := causes_of_keys(report.unexpected)):
        return causes
    found = [_other_language(source, report), _vocabulary(source, report)]
    found += [_missing_blocks(source), *_missing_parts(report)]
    return [cause for cause in found if cause] + _causes_of_tower(source, report)


def _wrapper(keys: Iterable[str]) -> str | None:
    everything = list(keys)
    return next((w for w in _WRAPPERS if all(key.startswith(w) for key in everything)), None)


def _other_language(source: VlmSource, report: KeyReport) -> str | None:
    """A decoder of another family, or of another size."""
    biases = [key for key in report.missing if key.endswith(("q_proj.bias", "k_proj.bias"))]
    layers = [key for key in biases if "vision" not in key]
    if len(layers) == 2 * source.config.language["num_hidden_layers"]:
        if any(key.endswith(("q_norm.weight", "k_norm.weight")) for key in report.unexpected):
            return "the language model is a Qwen3, whose layers config.json does not describe"
        return (
            "the language model has no biases on queries, keys and values: weights of a Llama, "
            "Vicuna or Mistral (LLaVA-1.5, LLaVA-NeXT) under a config.json of Qwen2"
        )
    for key, expected, found in report.misshapen:
        if key.endswith("embed_tokens.weight") and len(found) == 2 and found[1] != expected[1]:
            return (
                f"the language model's weights are of width {found[1]}, config.json says "
                f"{expected[1]}: weights and config.json of two sizes"
            )
    return None


def _vocabulary(source: VlmSource, report: KeyReport) -> str | None:
    for key, expected, found in report.misshapen:
        if key.endswith(_TABLES) and len(found) == 2 and found[1] == expected[1]:
            return (
                f"a resized vocabulary: the weights have {found[0]:,} rows, config.json says "
                f"vocab_size {source.config.language['vocab_size']:,}; set it to {found[0]:,} and "
                "take the tokenizer that was saved with these weights"
            )
    return None


def _missing_blocks(source: VlmSource) -> str | None:
    """Whole blocks of the decoder that are not there, or that are too many."""
    depth = source.config.language["num_hidden_layers"]
    numbers = {
        int(match[1])
        for part in source.parts
        for key in part.shapes
        if not _is_of_tower(key) and (match := _BLOCK.search(key))
    }
    absent = set(range(depth)) - numbers
    if not absent and numbers - set(range(depth)):
        return (
            f"the language model has {max(numbers) + 1} layers, config.json says {depth}: a "
            "config.json of another size"
        )
    if not absent:
        return None
    is_shortened = numbers == set(range(min(absent)))
    return f"{len(absent)} of {depth} layers of the language model are not there: " + (
        "is a shard missing, or is it the config.json of a larger model?"
        if is_shortened
        else "is a shard missing from the folder and from its index?"
    )


def _missing_parts(report: KeyReport) -> Iterator[str]:
    missing = [key for key in report.missing if not _is_of_tower(key)]
    if any("projector" in key for key in missing):
        yield (
            "there is no whole projector of two linear layers: a language model that was not "
            "trained on pictures yet, or whose mm_projector.bin lies elsewhere"
        )
    if any(key.endswith("newline") for key in missing):
        yield (
            "there is no newline token, which spatial_unpad needs: config.json is of a later stage "
            "of training than the weights"
        )
    elif any(key.endswith("newline") for key in report.unexpected):
        yield (
            "the newline token is not used with mm_patch_merge_type 'flat': config.json is of an "
            "earlier stage of training than the weights"
        )
    if any(key.endswith("lm_head.weight") for key in missing):
        yield (
            "there is no head: the table of embeddings may be meant (tie_word_embeddings true in "
            "config.json)"
        )


def _is_of_tower(key: str) -> bool:
    return "vision_tower." in key or key.startswith("tower.")


def _causes_of_tower(source: VlmSource, report: KeyReport) -> list[str]:
    """As for a tower alone: of its own folder, or of its weights within the model."""
    if source.tower is not None:
        return tower_causes.causes_of_report(source.tower, source.tower.compare())
    names = source.parts[0].names
    prefix = "tower." if names is None else names.tower
    wrong = [*report.missing, *report.unexpected, *(key for key, _, _ in report.misshapen)]
    if not any(key.startswith(prefix) for key in wrong):
        return []
    shapes = {
        key.removeprefix(prefix): shape
        for key, shape in source.shapes.items()
        if key.startswith(prefix)
    }
    if not shapes:
        return ["the weights of the tower are not in the folder"]
    if "embeddings.patch_embedding.bias" in shapes:
        return ["the tower is a SigLIP; only CLIP and MLCD towers are read here"]
    inner = TowerSource(
        path=source.path,
        description="the tower within",
        config=source.config.tower,
        naming=None if names is None else HUGGINGFACE,
        prefix="",
        shapes=shapes,
    )
    return tower_causes.causes_of_report(inner, inner.compare())
