"""A linear layer that multiplies in 8-bit whole numbers, on the CPU, for inference.

The weights are quantised once, symmetrically and for each output channel; the rows that come in
each time, over their own range. So no row depends on its neighbours: a picture has one embedding
and a question one answer, whatever batch they are in, and a token with huge values spoils no other.
(A scale for the whole matrix, as in torch's dynamic quantisation, is as fast and less exact on both
counts.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

_ROWS_AT_A_TIME = 256
"""Few enough that a piece stays in the cache between its passes."""
_WEIGHT_LEVELS = 127
_SMALLEST_STEP = 1e-30
"""Of a constant row, whose range is zero."""


class Int8Linear(nn.Module):
    """What an `nn.Linear` computes, up to rounding: (..., K) float32 -> (..., M) float32.

    `weight` int8 (M, K) times `scale` (M) are the weights; `total` (M) is their sum over K.
    """

    weight: Tensor
    scale: Tensor
    total: Tensor
    bias: Tensor | None

    def __init__(self, layer: nn.Linear, *, scale_in: float = 1.0, scale_out: float = 1.0) -> None:
        """Quantise `scale_out * layer(scale_in * rows)`; `layer` is left as it is."""
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        weight = layer.weight.detach().float() * (scale_in * scale_out)
        scale = weight.abs().amax(dim=1).clamp(min=_SMALLEST_STEP) / _WEIGHT_LEVELS  # (M)
        weight = (weight / scale[:, None]).round_().to(torch.int8)
        bias = layer.bias
        self.register_buffer("weight", weight)
        self.register_buffer("scale", scale)
        self.register_buffer("total", weight.sum(dim=1, dtype=torch.float32) * scale)
        self.register_buffer("bias", None if bias is None else bias.detach().float() * scale_out)
        self._packed: tuple[Tensor, Tensor] | None = None
        self.register_load_state_dict_post_hook(_forget_packed)  # type: ignore[no-untyped-call]

    def forward(self, rows: Tensor) -> Tensor:
        """(..., K) -> (..., M). ValueError off the CPU, and where a gradient would be recorded."""
        flat = rows if rows.ndim == 2 else rows.flatten(0, -2)
        out = self.write(flat, flat.new_empty(len(flat), self.out_features, dtype=torch.float32))
        return out if rows.ndim == 2 else out.reshape(*rows.shape[:-1], self.out_features)

    def write(
        self, rows: Tensor, out: Tensor, *, then: Callable[[Tensor], Tensor] | None = None
    ) -> Tensor:
        """The same into `out`, float32 (T, M); `then` works on it in place, piece by piece."""
        self._check(rows)
        for piece, part in _pieces(rows, out):
            product, step, low = self._multiply(piece)
            if self.bias is None:
                torch.mul(product, step, out=part).addcmul_(low, self.total)
            else:
                torch.addcmul(self.bias, low, self.total, out=part).addcmul_(product, step)
            if then is not None:
                then(part)
        return out

    def add_to(self, tokens: Tensor, rows: Tensor) -> Tensor:
        """Add the same to `tokens`, float32 (T, M), in place."""
        self._check(rows)
        for piece, part in _pieces(rows, tokens):
            product, step, low = self._multiply(piece)
            part.addcmul_(product, step).addcmul_(low, self.total)
            if self.bias is not None:
                part.add_(self.bias)
        return tokens

    def _multiply(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The product (T, M) of rows that are quantised as low + step * q, and step, low (T, 1)."""
        weight, zeros = self._packed = self._packed or self._pack()
        rows = rows.float()
        levels = activation_levels()
        low, high = rows.aminmax(dim=1, keepdim=True)
        step = ((high - low) / levels).clamp_(min=_SMALLEST_STEP)
        whole = (rows - low).mul_(1 / step).add_(0.5).to(torch.uint8)  # cuts off: so it rounds
        return _product(whole, weight, self.scale, zeros), step, low

    def multiply_one(self, row: Tensor) -> Tensor:
        """The same of a row alone, with its scale as a number: (1, K) -> (1, M), a fifth faster.

        0 is among the levels, so it may differ from `forward` by half a level's rounding.
        """
        self._check(row)
        weight, zeros = self._packed = self._packed or self._pack()
        low, high = (float(end) for end in row.aminmax())
        low, high = min(low, 0.0), max(high, 0.0)
        step = max((high - low) / activation_levels(), _SMALLEST_STEP)
        zero = round(-low / step)
        whole = (row.float() * (1 / step)).add_(zero + 0.5).to(torch.uint8)
        return _product(whole, weight, self.scale, zeros, step=step, zero=zero, bias=self.bias)

    def _pack(self) -> tuple[Tensor, Tensor]:
        return _pack(self.weight), torch.zeros(self.out_features, dtype=torch.int32)

    def _check(self, rows: Tensor) -> None:
        if rows.device.type != "cpu" or self.weight.device.type != "cpu":
            raise ValueError(
                f"int8 layers compute on the CPU alone, and here are rows on {rows.device} and "
                f"weights on {self.weight.device}; use the model that they were made from"
            )
        if rows.requires_grad and torch.is_grad_enabled():
            raise ValueError(
                "an int8 model gives no gradients: train the model that it was made from and "
                "quantise it again, or compute under torch.no_grad()"
            )

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_packed": None}  # packed weights cannot be copied

    def extra_repr(self) -> str:
        """What `print` says of it."""
        return f"{self.in_features}, {self.out_features}, bias={self.bias is not None}"


def _pieces(rows: Tensor, out: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Both in pieces of about `_ROWS_AT_A_TIME`, without a small rest: (T, K), (T, M), views."""
    number = round(len(rows) / _ROWS_AT_A_TIME)
    if number < 2:  # a token alone, where a look at a tensor costs as much as a product
        return iter([(rows, out)])
    return zip(rows.chunk(number), out.chunk(number), strict=True)


def _forget_packed(layer: nn.Module, _: object) -> None:
    assert isinstance(layer, Int8Linear)
    layer._packed = None


def _pack(weight: Tensor) -> Tensor:
    """Weights int8 (M, K) in the order that the kernel likes."""
    return torch.ops.onednn.qlinear_prepack(weight, [_ROWS_AT_A_TIME, weight.shape[1]])  # type: ignore[no-any-return]


def _product(
    rows: Tensor,
    packed: Tensor,
    scale: Tensor,
    zeros: Tensor,
    *,
    step: float = 1.0,
    zero: int = 0,
    bias: Tensor | None = None,
) -> Tensor:
    """step * (uint8 (T, K) - zero) times packed weights, times `scale` (M), and `bias` (M):
    float32 (T, M).
    """
    product: Tensor = _kernel()(
        rows, step, zero, packed, scale, zeros, bias, 1.0, 0, torch.float32, "none", [], ""
    )
    return product


@cache
def _kernel() -> Callable[..., Tensor]:
    """The overload itself: looking for the right one takes a tenth of a token's product."""
    kernel: Callable[..., Tensor] = torch.ops.onednn.qlinear_pointwise.default
    return kernel


@cache
def activation_levels() -> int:
    """Steps between the least and the greatest value of a row: 255 where the CPU can, else 127.

    Processors without VNNI add two products in 16 bits, and cut off what does not fit: with half
    the range nothing is cut off. What this one does is found by trying.
    """
    rows = torch.full((64, 256), 255, dtype=torch.uint8)
    weight = torch.full((64, 256), _WEIGHT_LEVELS, dtype=torch.int8)
    product = _product(rows, _pack(weight), torch.ones(64), torch.zeros(64, dtype=torch.int32))
    is_exact = bool((product == 255 * _WEIGHT_LEVELS * 256).all())
    return 255 if is_exact else 127
