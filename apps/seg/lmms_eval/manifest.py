"""What lmms-eval 0.6 and newer reads from the entry point `lmms_eval.models`."""

from __future__ import annotations

from lmms_eval.models.registry_v2 import ModelManifest

MODEL = "mlcd_seg"
CLASS_PATH = "mlcd.apps.seg.lmms_eval.model.MlcdSeg"


def manifest() -> ModelManifest:
    """The model `mlcd_seg`. Its module is imported when the model is asked for."""
    return ModelManifest(model_id=MODEL, simple_class_path=CLASS_PATH)
