"""A memory on SAM 2's video model: Transformers' own, read from a folder or by its hub id.

It looks at every frame with weights of its own; the language model only points at the object.
The memory of past frames is the model's, how much of it is kept is decided here.
Source: Ravi et al., SAM 2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL.Image import Resampling
from torch import Tensor
from torch.nn.functional import interpolate

from mlcd.apps.seg.appearance import Appearance, appearance_of, blended, similarity, stability
from mlcd.apps.seg.memory import Glimpse
from mlcd.apps.seg.segmenter import Traced
from mlcd.core.images import Image
from mlcd.core.images.reading import read_picture
from mlcd.core.masks import Mask

_OBJECT = 1
_NEWS = 0.1
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_MOST_LEARNED = 2
"""Answers that are kept beside the latest frames."""


class Sam2Memory:
    """Follows one object through one video with a SAM 2."""

    def __init__(self, model: Any) -> None:
        """`model`: a `Sam2VideoModel`."""
        self._model: Any = model.eval()
        self._session: Any = None
        self._number = -1
        self._looks: Appearance | None = None
        self._seen: tuple[int, Appearance | None] | None = None
        config = model.config
        self._kept = max(config.num_maskmem, config.max_object_pointers_in_encoder)

    @classmethod
    def load(
        cls,
        name_or_path: str | Path,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> Sam2Memory:
        """From a folder that Transformers wrote, or a hub id, as facebook/sam2.1-hiera-large.

        ValueError when it holds another kind of model; OSError when it is not there.
        """
        from transformers import AutoConfig, Sam2VideoModel

        config = AutoConfig.from_pretrained(name_or_path)
        if config.model_type not in ("sam2_video", "sam2"):
            raise ValueError(
                f"{name_or_path}: a model of the kind {config.model_type!r}; expected a SAM 2 for "
                "video, as facebook/sam2.1-hiera-tiny"
            )
        model: Any = Sam2VideoModel.from_pretrained(name_or_path, dtype=dtype or torch.float32)
        return cls(model.to(device or "cpu"))

    @torch.inference_mode()
    def likeness(self, image: Image, answer: Traced) -> float:
        """As `Memory.likeness`."""
        mask = answer.segmentation.mask
        if mask is None:
            return -1.0
        looks = self._appearance(self._features(self._pixels(image)), torch.from_numpy(mask))
        return self._similarity(looks)

    @torch.inference_mode()
    def learn(self, image: Image, answer: Traced) -> Glimpse:
        """As `Memory.learn`; ValueError for an answer without a mask."""
        mask = answer.segmentation.mask
        if mask is None:
            raise ValueError("an answer without a mask gives nothing to follow")
        session = self._open()
        side = self._side
        given = interpolate(torch.from_numpy(mask)[None, None].float(), (side, side), mode="area")
        self._number += 1
        index = session.obj_id_to_idx(_OBJECT)
        session.add_mask_inputs(index, self._number, (given >= 0.5).to(self._model.dtype))
        session.obj_with_new_inputs = [_OBJECT]
        self._run(image)
        self._looks = self._appearance(self._cached_features(), torch.from_numpy(mask))
        session.remove_mask_inputs(index, self._number)
        self._forget()
        return Glimpse(mask, answer.segmentation.score, 1.0, 1.0, 1.0)

    @torch.inference_mode()
    def follow(self, image: Image) -> Glimpse:
        """As `Memory.follow`."""
        assert self._looks is not None, "a memory learns from an answer first"
        self._forget()
        self._number += 1
        output = self._run(image)
        is_there = float(output.object_score_logits.float().sigmoid().mean())
        low = output.pred_masks[:, 0].float()  # (1, s, s)
        looks = self._appearance(self._cached_features(), low[0] > 0)
        self._seen = self._number, looks
        height, width = image.shape[:2]
        logits = interpolate(low[None], (height, width), mode="bilinear", align_corners=False)
        mask: Mask = np.asarray((logits[0, 0] > 0).cpu())
        inside = logits[0, 0][torch.from_numpy(mask).to(logits.device)]
        return Glimpse(
            mask=mask,
            score=float(inside.sigmoid().mean()) if len(inside) else 0.0,
            iou=is_there,
            stability=stability(low),
            similarity=self._similarity(looks),
        )

    def believe(self) -> None:
        """As `Memory.believe`."""
        assert self._seen is not None, "there is something to believe after a follow"
        _, looks = self._seen
        self._seen = None
        if looks is not None and self._looks is not None:
            self._looks = blended(self._looks, looks, _NEWS)
        self._forget()

    @property
    def num_kept(self) -> int:
        """Frames of which anything is kept."""
        if self._session is None:
            return 0
        kept = self._outputs("cond_frame_outputs"), self._outputs("non_cond_frame_outputs")
        return len(set(self._session.processed_frames).union(*kept))

    @property
    def _side(self) -> int:
        size = self._model.config.image_size
        return int(size if isinstance(size, int) else size[0])

    def _open(self) -> Any:
        if self._session is None:
            from transformers.models.sam2_video.modeling_sam2_video import (
                Sam2VideoInferenceSession,
            )

            device = self._model.device
            self._session = Sam2VideoInferenceSession(
                inference_device=device,
                inference_state_device=device,
                video_storage_device=device,
                dtype=self._model.dtype,
            )
        return self._session

    def _run(self, image: Image) -> Any:
        return self._model(
            self._session, frame_idx=self._number, frame=self._pixels(image).to(self._model.dtype)
        )

    def _outputs(self, kind: str) -> dict[int, Any]:
        outputs: dict[int, Any] = self._session.output_dict_per_obj[0][kind]
        return outputs

    def _drop_unbelieved(self) -> None:
        """What was seen and not believed must not be remembered."""
        if self._seen is not None:
            self._outputs("non_cond_frame_outputs").pop(self._seen[0], None)
            self._seen = None

    def _forget(self) -> None:
        """Keep what the model may still look at."""
        self._drop_unbelieved()
        learned = self._outputs("cond_frame_outputs")
        for number in sorted(learned)[1:-_MOST_LEARNED]:  # the first says who it is
            del learned[number]
        followed = self._outputs("non_cond_frame_outputs")
        oldest = self._number - self._kept
        for number in [number for number in followed if number < oldest]:
            del followed[number]
        tracked = self._session.frames_tracked_per_obj[0]
        for number in [number for number in tracked if number < oldest]:
            del tracked[number]
        self._session.processed_frames.clear()

    def _pixels(self, image: Image) -> Tensor:
        """As SAM 2 takes it: uint8 (H, W, 3) -> (3, S, S), stretched to a square."""
        side = self._side
        square = read_picture(image).resize((side, side), Resampling.BILINEAR)
        values = np.asarray(square, np.float32) / 255
        normal = (values - np.asarray(_MEAN, np.float32)) / np.asarray(_STD, np.float32)
        return torch.from_numpy(normal.transpose(2, 0, 1)).to(self._model.device)

    def _features(self, pixels: Tensor) -> Tensor:
        """The coarsest features of a picture: (C, h, w)."""
        found = self._model.get_image_features(
            pixels[None].to(self._model.dtype), return_dict=True
        ).fpn_hidden_states[-1]  # (h w, 1, C)
        return self._as_grid(found)

    def _cached_features(self) -> Tensor:
        """Those of the frame that was just looked at."""
        found = self._session.cache.get_vision_features(self._number)
        return self._as_grid(found["vision_feats"][-1])

    def _as_grid(self, features: Tensor) -> Tensor:
        height, width = self._model.backbone_feature_sizes[-1]
        return features[:, 0].T.reshape(-1, height, width)

    def _appearance(self, features: Tensor, mask: Tensor) -> Appearance | None:
        return appearance_of(
            features, mask.to(features.device), (features.shape[1], features.shape[2])
        )

    def _similarity(self, looks: Appearance | None) -> float:
        if looks is None or self._looks is None:
            return -1.0
        return similarity(looks, self._looks)
