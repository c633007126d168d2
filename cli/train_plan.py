"""What `--plan` prints of a run: the recipe with its sources, its parts, and its memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from mlcd.cli.output import print_json
from mlcd.training.language_plan import PlannedConversations
from mlcd.training.plan import plan_text


@dataclass(frozen=True, kw_only=True, slots=True)
class ShownPlan:
    """A plan, ready to print."""

    name: str
    recipe: Any
    """With `settings()`; a field `language` of it is a recipe of its own."""
    run: PlannedConversations
    parts: Mapping[str, tuple[int, int]]
    """Parameters of each part, and how many of them learn."""
    memory: Mapping[str, int]
    """Bytes on each GPU."""
    gpu_memory: float
    """GB of each of them."""

    def print(self, *, json: bool) -> None:
        """As one JSON document, or as text."""
        run, memory = self.run, self.memory
        conversations = run.recipe.num_conversations
        steps = run.recipe.num_steps(conversations) if conversations else None
        if json:
            print_json(
                {
                    "recipe": self.recipe.settings(),
                    "sources": {name: said for name, _, said in _numbers(self.recipe) if said},
                    "parameters": {
                        part: {"all": a, "learning": b} for part, (a, b) in self.parts.items()
                    },
                    "steps": steps,
                    "gpus": run.ranks,
                    "parallel": run.way,
                    "tokens": run.sample_tokens,
                    "bytes": dict(memory),
                }
            )
            return
        whole, learning = (sum(column) for column in zip(*self.parts.values(), strict=True))
        print(f"{self.name}: {whole:,} parameters, of which {learning:,} learn")
        for part, (own, own_learning) in self.parts.items():
            print(f"  {part}: {own:,}, {own_learning:,} of them learn")
        for name, value, source in _numbers(self.recipe):
            print(f"  {name} = {value}" + (f"   [{source}]" if source else ""))
        if steps is not None:
            print(f"  {steps:,} steps of {run.recipe.batch_size:,} conversations")
        fits = "fits" if sum(memory.values()) <= self.gpu_memory * 1e9 else "does not fit"
        title = (
            f"{run.ranks} GPUs, {run.way}, {run.part_rows} samples of up to "
            f"{run.sample_tokens:,} tokens at a time: {fits} {self.gpu_memory:g} GB; on each GPU"
        )
        print(plan_text(memory, title=title))


def _numbers(recipe: Any, prefix: str = "") -> Iterator[tuple[str, Any, str | None]]:
    """Each number of a recipe: its name, its value, and where it comes from."""
    for field in fields(recipe):
        value = getattr(recipe, field.name)
        if field.name == "language":
            yield from _numbers(value, "language.")
        elif field.name != "sources":
            plain = asdict(value) if is_dataclass(value) and not isinstance(value, type) else value
            yield f"{prefix}{field.name}", plain, recipe.sources.get(field.name)
