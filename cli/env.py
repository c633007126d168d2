"""`mlcd env`: what this installation has and what this machine can do with it."""

from __future__ import annotations

import os
import platform
import re
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.resources import files
from importlib.util import find_spec
from typing import Any

import tyro

from mlcd.cli.output import print_json
from mlcd.core.models import embedded_models

NOT_ASKED = "not asked (--fast)"


def main(arguments: Sequence[str]) -> None:
    """Parse the arguments of `mlcd env` and print the report."""
    tyro.cli(env, prog="mlcd env", args=arguments, config=(tyro.conf.FlagCreatePairsOff,))


def env(fast: bool = False, json: bool = False) -> None:
    """Versions, devices, capabilities, extras and embedded models.

    Args:
        fast: Do not load torch; devices and what depends on them stay unasked.
        json: Print one JSON document.
    """
    report = describe(fast=fast)
    if json:
        print_json(report)
    else:
        print(as_text(report))


def describe(*, fast: bool = False) -> dict[str, Any]:
    """The report as plain values; `fast` loads no torch."""
    base, extras = requirements()
    return {
        "mlcd": version("mlcd"),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: installed_version(name) for name in base},
        "devices": NOT_ASKED if fast else devices(),
        "capabilities": {
            "sdpa": NOT_ASKED if fast else sdpa_kernels(),
            "bf16": NOT_ASKED if fast else bf16_devices(),
            "flash-attn": installed_version("flash-attn"),
            "faiss-gpu": installed_version("faiss-gpu-cu12"),
            "rclpy": find_spec("rclpy") is not None,  # on a robot it does not come from pip
        },
        "extras": {
            extra: {"missing": [name for name in names if installed_version(name) is None]}
            for extra, names in extras.items()
        },
        "models": {name: os.fspath(path) for name, path in embedded_models().items()},
        "samples": str(files("mlcd.assets") / "samples"),
    }


def requirements() -> tuple[list[str], dict[str, list[str]]]:
    """The distributions that the base needs, and those of each extra that this platform has."""
    from packaging.requirements import Requirement

    base: list[str] = []
    extras: dict[str, list[str]] = {}
    for line in requires("mlcd") or []:
        requirement = Requirement(line)
        extra = re.search(r"extra == ['\"]([^'\"]+)['\"]", line)
        if extra is None:
            base.append(requirement.name)
        elif requirement.name == "mlcd":
            continue  # `all` names the other extras
        elif requirement.marker and requirement.marker.evaluate({"extra": extra[1]}):
            extras.setdefault(extra[1], []).append(requirement.name)
    return base, extras


def installed_version(distribution: str) -> str | None:
    """The version of an installed distribution, None when it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def devices() -> list[str]:
    """One line for each device that torch can compute on."""
    import torch

    found = [f"cpu: {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}"]
    for index in range(torch.cuda.device_count()):
        card = torch.cuda.get_device_properties(index)
        found.append(f"cuda:{index}: {card.name}, {card.total_memory / 2**30:.0f} GiB")
    if torch.backends.mps.is_available():
        found.append("mps")
    return found


def sdpa_kernels() -> list[str]:
    """The attention kernels behind torch's scaled_dot_product_attention on the best device here."""
    import torch

    if not torch.cuda.is_available():
        return ["flash", "math"]  # the two that torch has for a CPU
    switches = torch.backends.cuda
    kernels = {
        "flash": switches.is_flash_attention_available() and switches.flash_sdp_enabled(),
        "memory-efficient": switches.mem_efficient_sdp_enabled(),
        "cudnn": switches.cudnn_sdp_enabled(),
        "math": switches.math_sdp_enabled(),
    }
    return [name for name, is_enabled in kernels.items() if is_enabled]


def bf16_devices() -> list[str]:
    """The devices that multiply bfloat16 in hardware; elsewhere it is slower than float32."""
    import torch

    flags = cpu_flags()
    found = ["cpu"] if flags & {"avx512_bf16", "amx_bf16", "bf16"} else []
    if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False):
        found.append("cuda")
    return found


def cpu_flags() -> frozenset[str]:
    """The instruction sets that Linux names; empty elsewhere."""
    if sys.platform != "linux":
        return frozenset()
    with open("/proc/cpuinfo", encoding="utf-8") as lines:  # noqa: PTH123 - not a path of ours
        for line in lines:
            if line.lower().startswith(("flags", "features")):
                return frozenset(line.partition(":")[2].split())
    return frozenset()


def as_text(report: Mapping[str, Any]) -> str:
    """The report for a reader: one `name  value` line each, sections indented."""
    lines = []
    for name, value in report.items():
        if isinstance(value, Mapping):
            lines.append(name)
            width = max(map(len, value), default=0)
            lines += [f"  {key:<{width}}  {_said(name, entry)}" for key, entry in value.items()]
            lines += [] if value else ["  none"]
        else:
            lines.append(f"{name:<10}  {_said(name, value)}")
    return "\n".join(lines)


def _said(section: str, value: Any) -> str:
    if section == "extras":
        return f"missing: {', '.join(value['missing'])}" if value["missing"] else "installed"
    if value is None or value is False:
        return "not installed"
    if value is True:
        return "installed"
    if isinstance(value, list):
        return "; ".join(value) or "none"
    return str(value)
