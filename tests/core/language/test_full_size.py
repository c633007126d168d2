"""MLCD-Embodied-7B at its full size, with random weights: loaded without a second copy, and asked
for one token.

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
from tests.core.language.toy_models import toy_vlm_config

from mlcd.core.language import VlmConfig
from mlcd.core.language.presets import mlcd_embodied_7b

pytestmark = pytest.mark.slow

BUILD = """
import json, sys, torch
from pathlib import Path
from safetensors.torch import save_file
from mlcd.core.language.config import KIND, VlmConfig
from mlcd.core.language.stored import build_empty, stored_weights
folder = Path(sys.argv[1])
values = json.loads((folder / "config.json").read_text())
config = VlmConfig.from_dict({key: value for key, value in values.items() if key != "kind"})
torch.manual_seed(0)
table, shard = {}, {}
def flush():
    name = f"model-{len(set(table.values())) + 1:05d}.safetensors"
    save_file(shard, folder / name)
    table.update(dict.fromkeys(shard, name))
    shard.clear()
for key, value in stored_weights(build_empty(config)).items():
    if value.ndim == 1 and key.endswith("weight"):
        shard[key] = torch.ones(value.shape, dtype=torch.bfloat16)
    else:
        scale = value[0].numel() ** -0.5 if value.ndim > 1 else 0.1
        shard[key] = torch.empty(value.shape, dtype=torch.bfloat16).normal_(0, scale)
    if sum(own.nbytes for own in shard.values()) > 2e9:  # one shard in memory at a time
        flush()
flush()
(folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": table}))
"""

RUN = """
import json, sys, time, torch
import numpy as np
from mlcd.core.language import load_vlm
from mlcd.core.language.config import IMAGE_TOKEN
from mlcd.core.language.tiles import cut_tiles
from mlcd.core.language.vlm import Sample
start = time.perf_counter()
vlm = load_vlm(sys.argv[1], dtype=torch.bfloat16)
loaded = time.perf_counter()
image = np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8)
tiles = cut_tiles(image, vlm.config, layout="pad")
sample = Sample(torch.tensor([5, IMAGE_TOKEN, 7]), torch.tensor([-100] * 3), [tiles])
with torch.no_grad():
    hidden = vlm([sample]).hidden
    logits = vlm.language.lm_head(hidden[0, -1])
ran = time.perf_counter()
def memory_gb(field):  # ru_maxrss would begin with what the starting process had
    with open("/proc/self/status") as file:
        return int(file.read().split(field)[1].split()[0]) * 1024 / 1e9
own_gb = memory_gb("RssAnon:")  # without files
print(json.dumps({
    "parameters": sum(value.numel() for value in vlm.parameters()),
    "length": hidden.shape[1],
    "is_finite": bool(logits.isfinite().all()),
    "spread": float(logits.float().std()),
    "token": int(logits.argmax()),
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


def call(program: str, folder: Path) -> str:
    command = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("config", "parameters", "length", "most_gb"),
    [
        (mlcd_embodied_7b(), 7_935_649_792, 2 + 577, 18.0),
        (toy_vlm_config(), None, 2 + 17, 1.0),  # that the programs above work, in seconds
    ],
)
def test_a_model_is_loaded_without_a_second_copy_and_gives_a_token(
    config: VlmConfig, parameters: int | None, length: int, most_gb: float, folder: Path
) -> None:
    settings = {"kind": "vision_language_model"} | config.to_dict()
    (folder / "config.json").write_text(json.dumps(settings))
    call(BUILD, folder)
    found = json.loads(call(RUN, folder))
    print(f"\n{json.dumps(found)}")
    assert parameters in (None, found["parameters"])
    assert found["length"] == length
    assert found["is_finite"]
    assert found["spread"] > 0.05
    assert 0 <= found["token"] < config.language["vocab_size"]
    # 2 bytes a weight in the file, whose pages count while they are mapped (and can be given
    # back); the rest is torch, Transformers and the tokens of one picture
    assert found["peak_gb"] < most_gb
