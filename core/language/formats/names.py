"""The names that published layouts give to the parts of a vision-language model, and the way there
and back.

Ours: `tower.*`, `projector.*`, `newline`, `language.*`. Within a part the names are those of
`towers/naming.py`, of two linear layers, and of Transformers' `Qwen2ForCausalLM`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from torch import Tensor

from mlcd.core.towers.huggingface import PREFIX
from mlcd.core.towers.naming import HUGGINGFACE

TOWER, PROJECTOR, NEWLINE = "tower.", "projector.", "newline"
BODY, HEAD = "language.model.", "language.lm_head."


@dataclass(frozen=True, kw_only=True, slots=True)
class VlmNames:
    """What stands before every name of a part, in one layout."""

    tower: str
    projector: tuple[str, str]
    """The modules of the two linear layers."""
    newline: str
    body: str
    """The decoder and its table of embeddings."""
    head: str

    def theirs(self, key: str) -> tuple[str, ...]:
        """The name or names of one of our parameters; ValueError for a name that is not ours."""
        if key.startswith(TOWER):
            return tuple(self.tower + name for name in HUGGINGFACE.theirs(key.removeprefix(TOWER)))
        if key == NEWLINE:
            return (self.newline,)
        for number, module in zip((0, 2), self.projector, strict=True):
            if key.startswith(prefix := f"{PROJECTOR}{number}."):
                return (f"{module}.{key.removeprefix(prefix)}",)
        for ours, published in ((BODY, self.body), (HEAD, self.head)):
            if key.startswith(ours):
                return (published + key.removeprefix(ours),)
        raise ValueError(f"{key}: no parameter of a vision-language model")

    def publish(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Our state dict under this layout's names, in the same order."""
        published: dict[str, Tensor] = {}
        tower = {}
        for key, value in state.items():
            if key.startswith(TOWER):
                tower[key.removeprefix(TOWER)] = value
            else:
                published[self.theirs(key)[0]] = value
        named = HUGGINGFACE.publish(tower)
        return {self.tower + name: value for name, value in named.items()} | published

    def adopt(
        self, keys: Iterable[str], published: Iterable[tuple[str, Tensor]]
    ) -> Iterator[tuple[str, Tensor]]:
        """Our (key, tensor) for each of our `keys`, from tensors that come in any order.

        What is not asked for is left out; whether all are there is the caller's to check.
        """
        tower = [key.removeprefix(TOWER) for key in keys if key.startswith(TOWER)]
        others = {self.theirs(key)[0]: key for key in keys if not key.startswith(TOWER)}
        tower_parts: list[tuple[str, Tensor]] = []  # mapped from their files until they are joined
        for name, value in published:
            if name in others:
                yield others[name], value
            elif tower and name.startswith(self.tower):
                tower_parts.append((name.removeprefix(self.tower), value))
        for key, value in HUGGINGFACE.adopt(tower, tower_parts):
            yield TOWER + key, value

    @property
    def tolerated(self) -> frozenset[str]:
        """Names that a file may hold and that mean nothing."""
        return frozenset(self.tower + name for name in HUGGINGFACE.tolerated)


LLAVA_NEXT = VlmNames(
    tower="model.vision_tower.vision_tower.vision_model.",
    projector=("model.mm_projector.0", "model.mm_projector.2"),
    newline="model.image_newline",
    body="model.",
    head="lm_head.",
)
"""`LlavaQwenForCausalLM`, as LLaVA-NeXT saves it."""

TRANSFORMERS = VlmNames(
    tower="vision_tower.vision_model.",
    projector=("multi_modal_projector.linear_1", "multi_modal_projector.linear_2"),
    newline="image_newline",
    body="language_model.model.",
    head="language_model.lm_head.",
)
"""`LlavaNextForConditionalGeneration` and `LlavaOnevisionForConditionalGeneration`, as they are
published.
"""

TRANSFORMERS_5 = VlmNames(
    tower="model.vision_tower.",
    projector=("model.multi_modal_projector.linear_1", "model.multi_modal_projector.linear_2"),
    newline="model.image_newline",
    body="model.language_model.",
    head="lm_head.",
)
"""The same classes as Transformers 5 holds them in memory; since 4.52 with `vision_model.` too."""


def fit_names(candidates: Iterable[VlmNames], keys: Iterable[str]) -> VlmNames:
    """Of several layouts the one that most of a file's keys follow, the first among equals.

    The tower's names come with and without `vision_model.`, which every layout may leave out.
    """
    found = list(keys)
    variants = chain.from_iterable(_with_and_without(names) for names in candidates)
    return max(variants, key=lambda names: _count_explained(names, found))


def _with_and_without(names: VlmNames) -> tuple[VlmNames, VlmNames]:
    bare = names.tower.removesuffix(PREFIX)
    ordered = replace(names, tower=bare + PREFIX), replace(names, tower=bare)
    return ordered if names.tower.endswith(PREFIX) else (ordered[1], ordered[0])


def _count_explained(names: VlmNames, keys: list[str]) -> int:
    """How many keys begin as one of the parts does, the tower's with what follows the prefix: the
    shorter prefix begins every name that the longer one does.
    """
    parts = (*(f"{module}." for module in names.projector), names.newline, names.body, names.head)
    tower = tuple(names.tower + name for name in _TOWER_NAMES)
    return sum(key.startswith(tower if _OF_TOWER in key else parts) for key in keys)


_OF_TOWER = "vision_tower."
_TOWER_NAMES = ("embeddings.", "encoder.", "pre_layrnorm.", "post_layernorm.", "class_pos_emb")
