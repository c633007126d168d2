"""The largest towers at their full size: built, saved, loaded and run once, in a stated memory.

Each in a process of its own, so that its peak memory is its own; `pytest -s` prints it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BUILD = """
import json, sys, torch
from mlcd.core.towers import VisionTower, presets, save_tower
config = getattr(presets, sys.argv[1])()
torch.manual_seed(0)
with torch.device("meta"):
    tower = VisionTower(config)
tower = tower.to(torch.bfloat16).to_empty(device="cpu")
with torch.no_grad():
    for name, value in tower.named_parameters():
        if name.endswith("norm.weight") or "norm1.weight" in name or "norm2.weight" in name:
            value.fill_(1)
        elif value.ndim > 1:
            value.normal_(0, value[0].numel() ** -0.5)
        else:
            value.normal_(0, 0.1)
save_tower(tower, sys.argv[2], dtype=torch.bfloat16)
print(json.dumps({"digest": tower.weights_sha256()}))
"""

RUN = """
import json, sys, time, torch
from mlcd.core.towers import load_tower
start = time.perf_counter()
tower = load_tower(sys.argv[1])
loaded = time.perf_counter()
size = tower.config.image_size
pixels = torch.randn(1, 3, size, size, generator=torch.Generator().manual_seed(0))
with torch.no_grad():
    output = tower(pixels)
ran = time.perf_counter()
def memory_gb(field):  # ru_maxrss would begin with what the starting process had
    with open("/proc/self/status") as file:
        return int(file.read().split(field)[1].split()[0]) * 1024 / 1e9
own_gb = memory_gb("RssAnon:")  # without files
print(json.dumps({
    "digest": tower.weights_sha256(),
    "parameters": sum(value.numel() for value in tower.parameters()),
    "tokens": list(output.tokens.shape),
    "pooled": list(output.pooled.shape),
    "is_finite": bool(output.tokens.isfinite().all() and output.pooled.isfinite().all()),
    "spread": float(output.pooled.std()),
    "seconds_to_load": loaded - start,
    "seconds_to_run": ran - loaded,
    "own_gb": own_gb,
    "peak_gb": memory_gb("VmHWM:"),
}))
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """Removed at once: pytest would keep gigabytes of its last three runs."""
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def call(program: str, *arguments: object) -> dict[str, object]:
    done = subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    result: dict[str, object] = json.loads(done.stdout)
    return result


@pytest.mark.parametrize(
    ("preset", "num_tokens", "width", "parameters", "most_gb"),
    [
        ("mlcd_l14_336", 577, 1024, 303_507_456, 2.5),
        ("mlcd_bigg14_448", 1025, 1664, 1_842_349_748, 12.0),
    ],
)
def test_a_tower_of_full_size_is_built_saved_loaded_and_run(
    preset: str, num_tokens: int, width: int, parameters: int, most_gb: float, folder: Path
) -> None:
    built = call(BUILD, preset, folder / "tower")
    found = call(RUN, folder / "tower")
    print(f"\n{preset}: {json.dumps(found)}")
    assert found["digest"] == built["digest"]
    assert found["parameters"] == parameters
    assert found["tokens"] == [1, num_tokens, width]
    assert found["pooled"] == [1, width]
    assert found["is_finite"]
    assert 0.1 < float(str(found["spread"])) < 10
    # 4 bytes a weight in float32, 2 in the file, whose pages count while they are mapped (and
    # can be given back); the rest is torch and the tokens of one picture
    assert float(str(found["peak_gb"])) < most_gb
