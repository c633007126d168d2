"""What a folder or file is, in words, and when it is no sound tower: what is wrong and likely why.

`loading.py` refuses a tower that is not exact; here is said as much as can be said about it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from mlcd.core import diagnosis
from mlcd.core.checkpoint import read_shapes
from mlcd.core.diagnosis import float_types
from mlcd.core.towers import huggingface
from mlcd.core.towers.causes import causes_of_keys, causes_of_report, count_parameters
from mlcd.core.towers.config import TowerConfig
from mlcd.core.towers.convert import Source, recognise
from mlcd.core.towers.file_causes import causes_of_path
from mlcd.core.towers.naming import NATIVE_ROPE2D
from mlcd.core.towers.upstream import DEFAULT_ROPE2D_SIZE

Diagnosis: TypeAlias = diagnosis.Diagnosis[TowerConfig]
"""What `diagnose` finds."""


def diagnose(path: str | Path, *, image_size: int | None = None) -> Diagnosis:
    """What a model folder or weight file is. Raises for nothing that is wrong with the model.

    `image_size` as for `load_tower`. Reads names and shapes, not the weights themselves.
    """
    path = Path(path)
    try:
        source = recognise(path, image_size=image_size)
    except (ValueError, OSError) as error:
        return _unrecognised(path, error)
    report = source.compare()
    problems = [report.summary()] if not report.is_clean else []
    problems += _preprocess_problems(source)
    return Diagnosis(
        path=path,
        description=source.description,
        config=source.config,
        parameters=count_parameters(source.shapes),
        dtypes=float_types([path]),
        keys=report,
        problems=tuple(problems),
        causes=tuple(causes_of_report(source, report)),
        notes=tuple(_notes(source, image_size)),
    )


def _unrecognised(path: Path, error: Exception) -> Diagnosis:
    """What can be said of something that is no known tower."""
    problem = " ".join(str(error).split())
    if not path.exists():
        return Diagnosis(
            path=path,
            description="nothing: there is no such file or folder",
            problems=(problem,),
        )
    kind = "a folder" if path.is_dir() else "a file"
    try:
        shapes = read_shapes(path)
        dtypes = float_types([path])
        causes = (path.is_dir() and causes_of_path(path)) or causes_of_keys(shapes)
    except (ValueError, OSError) as unreadable:
        if (said := " ".join(str(unreadable).split())) not in problem and path.is_file():
            problem = f"{problem}; {said}"
        return Diagnosis(
            path=path,
            description=f"{kind} whose weights cannot be read",
            problems=(problem,),
            causes=tuple(_causes_of_unreadable(path)),
        )
    return Diagnosis(
        path=path,
        description=f"{kind} of weights, of no tower that is read here",
        parameters=count_parameters(shapes),
        dtypes=dtypes,
        problems=(problem,),
        causes=tuple(causes),
    )


def _causes_of_unreadable(path: Path) -> list[str]:
    try:
        return causes_of_path(path)
    except OSError as error:  # for instance no permission to list the folder
        return [f"{error.filename}: {error.strerror}"]


def _preprocess_problems(source: Source) -> list[str]:
    config = source.config
    prepared, taken = config.preprocess.size, config.image_size
    if config.form == "unicom" and prepared != taken:
        return [f"pictures are prepared at {prepared} pixels, but the head takes only {taken}"]
    return []


def _notes(source: Source, image_size: int | None) -> list[str]:
    config, path = source.config, source.path
    notes = []
    if config.form != "unicom" and config.preprocess.size != config.image_size:
        notes.append(
            f"pictures are prepared at {config.preprocess.size} pixels, the tower was made for "
            f"{config.image_size}: is that meant? ({huggingface.PREPROCESSOR} or config.json)"
        )
    is_theirs = source.naming is not None and path.is_dir()
    if is_theirs and not (path / huggingface.PREPROCESSOR).exists():
        notes.append(f"no {huggingface.PREPROCESSOR}: pictures are prepared as CLIP does")
    told = image_size is not None or config.image_size != DEFAULT_ROPE2D_SIZE
    if source.naming is NATIVE_ROPE2D and not told:
        notes.append(
            f"the file does not tell its image size: {DEFAULT_ROPE2D_SIZE} is taken, "
            "--image-size says another"
        )
    return notes
