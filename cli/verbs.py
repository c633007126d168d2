"""How every group of the command line reads its verbs and their options."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import tyro


def run_verb(
    group: str,
    verbs: Mapping[str, Callable[..., int | None]],
    arguments: Sequence[str],
    *,
    description: str,
) -> int | None:
    """Parse `mlcd GROUP VERB ...` and run the verb; its exit code, None for 0."""
    code: int | None = tyro.extras.subcommand_cli_from_dict(
        dict(verbs),
        prog=f"mlcd {group}",
        description=description,
        args=list(arguments),
        config=(
            tyro.conf.FlagCreatePairsOff,
            tyro.conf.OmitSubcommandPrefixes,
            tyro.conf.OmitArgPrefixes,
            tyro.conf.CascadeSubcommandArgs,
        ),
    )
    return code
