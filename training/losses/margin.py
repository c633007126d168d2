"""Margins: the cosine of a picture's own class, made smaller before the loss sees it.

| kind | cosine after the margin m | source |
|---|---|---|
| `arcface` | cos(theta + m), gradient through the margin | Deng et al. 2019, eq. 3 |
| `straight_through` | cos(theta + m), gradient as if without margin | UNICOM's released code |
| `cosface` | cos(theta) - m | Wang et al. 2018, eq. 4 |
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

MarginKind = Literal["arcface", "straight_through", "cosface"]


def with_margin(cosine: Tensor, margin: float, kind: MarginKind) -> Tensor:
    """Cosines, any shape, after the margin; those of other classes are not to be passed."""
    if kind == "cosface":
        return cosine - margin
    if kind == "straight_through":
        with torch.no_grad():
            # Past theta = pi - margin it grows again, as it does in the released code.
            change = torch.cos(torch.acos(cosine.clamp(-1, 1)) + margin) - cosine
        return cosine + change
    # The slope of an angle is infinite where it is 0 or pi.
    cosine = cosine.clamp(-1 + 1e-6, 1 - 1e-6)
    sine = torch.sqrt(1 - cosine.square())
    turned = cosine * math.cos(margin) - sine * math.sin(margin)
    # Past an angle of pi - margin the sum would grow again; a straight line goes on falling.
    straight = cosine - margin * math.sin(math.pi - margin)
    return torch.where(cosine > math.cos(math.pi - margin), turned, straight)
