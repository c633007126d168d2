"""The released UNICOM network as a slow obvious program over its own state dict, in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]


def unicom_weights(
    *, width: int = 128, depth: int = 2, patch: int = 8, grid: int = 4, embed_dim: int = 24
) -> dict[str, Tensor]:
    """A random state dict with every key and shape of a released file."""
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * math.prod(shape[1:]) ** -0.5

    state = {
        "patch_embed.proj.weight": random(width, 3, patch, patch),
        "patch_embed.proj.bias": random(width) * 0.2,
        "pos_embed": random(1, grid * grid, width),
        "norm.weight": 1 + 0.2 * random(width),
        "norm.bias": 0.2 * random(width),
    }
    for block in range(depth):
        name = f"blocks.{block}"
        for norm in ("norm1", "norm2"):
            state[f"{name}.{norm}.weight"] = 1 + 0.2 * random(width)
            state[f"{name}.{norm}.bias"] = 0.2 * random(width)
        state[f"{name}.attn.qkv.weight"] = random(3 * width, width)
        state[f"{name}.attn.proj.weight"] = random(width, width)
        state[f"{name}.attn.proj.bias"] = 0.2 * random(width)
        state[f"{name}.mlp.fc1.weight"] = 3 * random(4 * width, width)  # beyond 6 here and there
        state[f"{name}.mlp.fc1.bias"] = random(4 * width)
        state[f"{name}.mlp.fc2.weight"] = random(width, 4 * width)
        state[f"{name}.mlp.fc2.bias"] = 0.2 * random(width)
    state["feature.0.weight"] = random(width, grid * grid * width)
    state["feature.2.weight"] = random(embed_dim, width)
    for name, length in (("feature.1", width), ("feature.3", embed_dim)):
        state[f"{name}.weight"] = 1 + 0.2 * random(length)
        state[f"{name}.bias"] = 0.2 * random(length)
        state[f"{name}.running_mean"] = 0.2 * random(length)
        state[f"{name}.running_var"] = 0.5 + random(length).abs()
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)
    return state


def unicom_by_hand(state: Weights, picture: Tensor) -> tuple[Tensor, Tensor]:
    """One picture (3, H, W) -> tokens (N, D) after the last norm, embedding (E,)."""
    state = {name: value.double() for name, value in state.items()}
    tokens = _first_tokens(state, picture.double())
    depth = 1 + max(int(name.split(".")[1]) for name in state if name.startswith("blocks."))
    for block in range(depth):
        part = {
            name.removeprefix(f"blocks.{block}."): value
            for name, value in state.items()
            if name.startswith(f"blocks.{block}.")
        }
        tokens = [
            token + change
            for token, change in zip(
                tokens, _attention(part, [_norm(part, "norm1", token) for token in tokens]),
                strict=True,
            )
        ]  # fmt: skip
        tokens = [token + _mlp(part, _norm(part, "norm2", token)) for token in tokens]
    last = [_norm(state, "norm", token) for token in tokens]
    flat = torch.cat(last)  # all channels of the first token, then of the second
    hidden = _batch_norm(state, "feature.1", state["feature.0.weight"] @ flat)
    return torch.stack(last), _batch_norm(state, "feature.3", state["feature.2.weight"] @ hidden)


def _first_tokens(state: Weights, picture: Tensor) -> list[Tensor]:
    weight, bias = state["patch_embed.proj.weight"], state["patch_embed.proj.bias"]
    patch = weight.shape[-1]
    rows, columns = picture.shape[1] // patch, picture.shape[2] // patch
    tokens = []
    for row in range(rows):
        for column in range(columns):
            cut = picture[:, row * patch : (row + 1) * patch, column * patch : (column + 1) * patch]
            position = state["pos_embed"][0, row * columns + column]
            tokens.append((weight * cut).sum(dim=(1, 2, 3)) + bias + position)
    return tokens


def _norm(state: Weights, name: str, token: Tensor) -> Tensor:
    scaled = (token - token.mean()) / (token.var(correction=0) + 1e-5).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]


def _attention(state: Weights, tokens: list[Tensor]) -> list[Tensor]:
    width = len(tokens[0])
    queries, keys, values = (
        [part @ token for token in tokens] for part in state["attn.qkv.weight"].split(width)
    )
    outputs = []
    for query in queries:
        heads = []
        for start in range(0, width, 64):
            own = slice(start, start + 64)
            scores = torch.stack([(query[own] * key[own]).sum() / math.sqrt(64) for key in keys])
            weights = scores.exp() / scores.exp().sum()
            parts = [w * value[own] for w, value in zip(weights, values, strict=True)]
            heads.append(torch.stack(parts).sum(0))
        outputs.append(state["attn.proj.weight"] @ torch.cat(heads) + state["attn.proj.bias"])
    return outputs


def _mlp(state: Weights, token: Tensor) -> Tensor:
    hidden = state["mlp.fc1.weight"] @ token + state["mlp.fc1.bias"]
    hidden = hidden.clamp(0, 6)  # ReLU6
    return state["mlp.fc2.weight"] @ hidden + state["mlp.fc2.bias"]


def _batch_norm(state: Weights, name: str, row: Tensor) -> Tensor:
    mean, variance = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    scaled = (row - mean) / (variance + 2e-5).sqrt()
    return scaled * state[f"{name}.weight"] + state[f"{name}.bias"]
