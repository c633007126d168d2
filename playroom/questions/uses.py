"""What somebody could use to do something, where exactly one thing in the picture is for it."""

from __future__ import annotations

from mlcd.playroom.names import all_uses
from mlcd.playroom.questions.question import Link, Question, combination_of
from mlcd.playroom.relations import Sight


def use_questions(sight: Sight) -> list[Question]:
    """One question for each purpose that one thing serves and none leaves in doubt."""
    found: list[Question] = []
    for use in all_uses():
        fitting = [thing for thing in sight.things if thing.named.name.text in use.names]
        unclear = any(thing.named.name.text in use.unclear for thing in sight.things)
        if len(fitting) != 1 or unclear or not fitting[0].is_nameable:
            continue
        name = fitting[0].named.name
        found.append(
            Question(
                kind="use",
                form="use",
                answer=name.text,
                accepted=name.accepted,
                words={"purpose": use.purpose},
                combination=combination_of(fitting[0], use.purpose),
                links=(Link(index=fitting[0].index, attributes=frozenset({"name", "purpose"})),),
                fresh=(name.text,),
                size=fitting[0].named.placed.size,
            )
        )
    return found
