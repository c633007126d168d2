"""How soon the command line answers: seconds of wall clock, the median of fresh processes.

    python benchmarks/startup.py

Goal: `mlcd --help` under 0.5 s. Beside it the interpreter alone, which nothing can undercut,
and the command of a peer that also keeps torch out of its help.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

from mlcd.cli.main import GROUPS

BINARIES = Path(sys.executable).parent
COMMANDS: dict[str, list[str | Path]] = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "mlcd --help": [BINARIES / "mlcd", "--help"],
    **{f"mlcd {group} --help": [BINARIES / "mlcd", group, "--help"] for group in GROUPS},
    "mlcd env --fast": [BINARIES / "mlcd", "env", "--fast"],
    "hf --help (huggingface-hub)": [BINARIES / "hf", "--help"],
    "python -c 'import torch'": [sys.executable, "-c", "import torch"],
}


def seconds(command: list[str | Path]) -> float:
    """The wall clock time of one run."""
    start_s = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start_s


def main() -> None:
    """Measure every command in turn, round after round, and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    times = [{name: seconds(command) for name, command in COMMANDS.items()} for _ in range(rounds)]
    for name in COMMANDS:
        print(f"{name:<30} {statistics.median(run[name] for run in times):6.3f} s")


if __name__ == "__main__":
    main()
