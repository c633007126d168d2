"""What a folder is, in words, and when it is no sound segmentation model: what is wrong and likely
why.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from mlcd.apps.seg.config import SegConfig
from mlcd.apps.seg.loading import read_tokenizer
from mlcd.apps.seg.sam_files import recognise_sam
from mlcd.apps.seg.source import PUBLISHED_PROJECTION, PUBLISHED_SAM, recognise
from mlcd.core import diagnosis
from mlcd.core.checkpoint import KeyReport, read_shapes
from mlcd.core.diagnosis import float_types
from mlcd.core.language import doctor as language_doctor
from mlcd.core.towers.causes import count_parameters

Diagnosis: TypeAlias = diagnosis.Diagnosis[SegConfig]
"""What `diagnose` finds."""


def diagnose(path: str | Path) -> Diagnosis:
    """What a model folder or file is. Raises for nothing that is wrong with the model.

    Reads names and shapes, not the weights themselves.
    """
    path = Path(path)
    try:
        source = recognise(path)
    except (ValueError, OSError) as error:
        return _unrecognised(path, error)
    report = source.compare()
    problems = [report.summary()] if not report.is_clean else []
    try:
        read_tokenizer(path, source.config)
    except ValueError as error:
        problems.append(_line(error))
    return Diagnosis(
        path=path,
        description=source.description,
        config=source.config,
        parameters=count_parameters(source.shapes),
        dtypes=float_types([path]),
        keys=report,
        problems=tuple(problems),
        causes=tuple(_causes(report)),
        notes=source.notes,
    )


def _unrecognised(path: Path, error: Exception) -> Diagnosis:
    """What can be said of something that is no segmentation model: perhaps a part of one."""
    problem = _line(error)
    try:
        shapes = read_shapes(path)
        dtypes = float_types([path])
    except (ValueError, OSError) as unreadable:
        if (said := _line(unreadable)) not in problem:
            problem = f"{problem}; {said}"
        kind = "nothing: there is no such file or folder"
        if path.exists():
            kind = f"a {'folder' if path.is_dir() else 'file'} whose weights cannot be read"
        return Diagnosis(path=path, description=kind, problems=(problem,))
    return Diagnosis(
        path=path,
        description=_other_model(path),
        parameters=count_parameters(shapes),
        dtypes=dtypes,
        problems=(problem,),
    )


def _other_model(path: Path) -> str:
    try:
        sam = recognise_sam(path).config
        return (
            f"a SAM alone (width {sam.width}, {sam.depth} blocks, {sam.image_size} pixels), which "
            "gives masks for points and boxes but reads no phrases"
        )
    except (ValueError, OSError):
        pass  # no SAM; perhaps the other half
    language = language_doctor.diagnose(path)
    if language.config is not None:
        return f"a vision-language model alone, without a SAM: {language.description}"
    return "weights of no segmentation model that is read here"


def _causes(report: KeyReport) -> list[str]:
    found = []
    for key, expected, shape in report.misshapen:
        if key.endswith(("embed_tokens.weight", "lm_head.weight")) and expected[1:] == shape[1:]:
            found.append(
                f"a resized vocabulary: the weights have {shape[0]:,} rows, config.json says "
                f"{expected[0]:,}; set vocab_size to {shape[0]:,}"
            )
            break
    if any(key.startswith(PUBLISHED_PROJECTION) for key in report.missing):
        found.append(
            "there is no projection from [SEG] to the SAM: a checkpoint from before segmentation "
            "was trained, or of which a shard is missing"
        )
    sam = [key for key in report.missing if key.startswith((PUBLISHED_SAM, "sam."))]
    if sam:
        found.append(f"{len(sam)} weights of the SAM are not there: is a shard missing?")
    return found


def _line(error: Exception) -> str:
    return " ".join(str(error).split())
