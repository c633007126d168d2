"""Attention over a packed sequence: each token sees its own picture, by whichever kernel."""

from __future__ import annotations

import math
from types import SimpleNamespace

import pytest
import torch
from tests.core.towers.toy_towers import difference, noise, random_tower
from torch import Tensor

from mlcd.core.towers import attention
from mlcd.core.towers.attention import Run, SelfAttention, can_use_flash_attention
from mlcd.core.towers.config import Form
from mlcd.core.workspace import Workspace

RUNS = [Run(2, 5), Run(1, 7), Run(3, 2)]


def attended_by_hand(layer: SelfAttention, normed: Tensor) -> Tensor:
    """Every query of every picture and head for itself: (T, D) -> (T, D)."""
    width = normed.shape[1]
    channels = width // layer.num_heads
    queries, keys, values = layer.qkv(normed).double().split(width, dim=1)
    mixed = torch.zeros(normed.shape, dtype=torch.float64)
    start = 0
    for run in RUNS:
        for _ in range(run.num_pictures):
            tokens = range(start, start + run.num_tokens)
            for head in range(layer.num_heads):
                own = slice(head * channels, (head + 1) * channels)
                for token in tokens:
                    scores = [
                        float(queries[token, own] @ keys[other, own]) / math.sqrt(channels)
                        for other in tokens
                    ]
                    total = sum(map(math.exp, scores))
                    for other, score in zip(tokens, scores, strict=True):
                        mixed[token, own] += math.exp(score) / total * values[other, own]
            start += run.num_tokens
    return layer.out(mixed.float())  # type: ignore[no-any-return]


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("workspace", [None, Workspace()], ids=["fresh memory", "workspace"])
@torch.no_grad()
def test_attention_equals_a_slow_loop_over_pictures_heads_and_tokens(
    has_bias: bool, workspace: Workspace | None
) -> None:
    layer = SelfAttention(24, 3, qkv_bias=has_bias)
    tokens, normed = noise(23, 24), noise(23, 24, seed=2)
    expected = tokens + attended_by_hand(layer, normed)
    assert difference(layer(tokens, normed, RUNS, workspace), expected) < 1e-6
    assert (layer.qkv.bias is not None) == has_bias


def looped_kernel(qkv: Tensor, cu_seqlens: Tensor, max_seqlen: int) -> Tensor:
    """What flash_attn_varlen_qkvpacked_func computes, sequence by sequence, and what it demands."""
    assert qkv.ndim == 4
    assert qkv.shape[1] == 3
    assert qkv.stride(-1) == 1
    assert cu_seqlens.dtype == torch.int32
    assert cu_seqlens[0] == 0
    assert cu_seqlens[-1] == len(qkv)
    assert max_seqlen == int(cu_seqlens.diff().max())
    mixed = torch.empty(len(qkv), *qkv.shape[2:])
    for start, stop in zip(cu_seqlens[:-1].tolist(), cu_seqlens[1:].tolist(), strict=True):
        queries, keys, values = qkv[start:stop].permute(1, 2, 0, 3)  # each (heads, N, d)
        weights = (queries @ keys.mT * qkv.shape[-1] ** -0.5).softmax(-1)
        mixed[start:stop] = (weights @ values).transpose(0, 1)
    return mixed


@pytest.mark.parametrize("form", ["clip", "rope2d"])
def test_the_variable_length_kernel_gets_every_picture_as_its_own_sequence(
    form: Form, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel itself needs a GPU; a loop stands in for it, so what is proven is its call."""
    tower = random_tower(form)
    batches = [noise(2, 3, 32, 32), noise(1, 3, 24, 64), noise(3, 32, 32), noise(2, 3, 16, 16)]
    expected = tower.packed(batches)
    calls = []

    def require(module: str, *, extra: str) -> SimpleNamespace:
        calls.append((module, extra))
        return SimpleNamespace(flash_attn_varlen_qkvpacked_func=looped_kernel)

    monkeypatch.setattr(attention, "require", require)
    monkeypatch.setattr(attention, "can_use_flash_attention", lambda qkv: True)
    outputs = tower.packed(batches)
    assert calls == [("flash_attn", "flash-attn")] * 3  # one for each block
    for output, right in zip(outputs, expected, strict=True):
        assert difference(output.tokens, right.tokens) < 1e-5
        assert difference(output.pooled, right.pooled) < 1e-5


@pytest.mark.parametrize(
    ("changes", "capability", "is_installed", "expected"),
    [
        ({}, (8, 0), True, True),
        ({}, (9, 0), True, True),
        ({}, (7, 5), True, False),  # Turing: flash-attn has no kernel
        ({}, (8, 0), False, False),
        ({"dtype": torch.float32}, (8, 0), True, False),
        ({"dtype": torch.bfloat16}, (8, 0), True, True),
        ({"is_cuda": False}, (8, 0), True, False),
        ({"shape": (9, 3, 2, 512)}, (8, 0), True, False),
    ],
)
def test_the_kernel_is_chosen_by_what_it_can_do(
    changes: dict[str, object],
    capability: tuple[int, int],
    is_installed: bool,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    qkv = {"is_cuda": True, "dtype": torch.float16, "shape": (9, 3, 2, 104), "device": "cuda:0"}
    attention._is_capable.cache_clear()
    monkeypatch.setattr(attention, "_has_flash_attention", lambda: is_installed)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    assert can_use_flash_attention(SimpleNamespace(**(qkv | changes))) is expected  # type: ignore[arg-type]
    attention._is_capable.cache_clear()


def test_on_the_cpu_no_kernel_is_asked_for() -> None:
    assert not can_use_flash_attention(torch.empty(4, 3, 2, 8, dtype=torch.bfloat16))
