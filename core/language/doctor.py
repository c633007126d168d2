"""What a folder is, in words, and when it is no sound vision-language model: what is wrong and
likely why.

`loading.py` refuses a model that is not exact; here is said as much as can be said about it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TypeAlias

from mlcd.core import diagnosis
from mlcd.core.checkpoint import read_json, read_shapes
from mlcd.core.diagnosis import float_types
from mlcd.core.language.causes import causes_of_keys, causes_of_report
from mlcd.core.language.config import VlmConfig
from mlcd.core.language.formats import llava_next
from mlcd.core.language.formats.chat_template import STATED
from mlcd.core.language.formats.recognise import recognise
from mlcd.core.language.formats.source import VlmSource
from mlcd.core.language.formats.tokenizers import check_tokenizer, has_tokenizer
from mlcd.core.language.tokens import load_tokenizer
from mlcd.core.towers.causes import count_parameters
from mlcd.core.towers.file_causes import causes_of_path

Diagnosis: TypeAlias = diagnosis.Diagnosis[VlmConfig]
"""What `diagnose` finds."""


def diagnose(path: str | Path) -> Diagnosis:
    """What a model folder is. Raises for nothing that is wrong with the model.

    Reads names and shapes, not the weights themselves.
    """
    path = Path(path)
    try:
        source = recognise(path)
        report = source.compare()
    except (ValueError, OSError) as error:
        return _unrecognised(path, error)
    problems = [report.summary()] if not report.is_clean else []
    return Diagnosis(
        path=path,
        description=source.description,
        config=source.config,
        parameters=count_parameters(source.shapes),
        dtypes=float_types(source.paths),
        keys=report,
        problems=(*problems, *_tokenizer_problems(source)),
        causes=tuple(causes_of_report(source, report)),
        notes=(*source.notes, *_notes(source)),
    )


def _unrecognised(path: Path, error: Exception) -> Diagnosis:
    """What can be said of something that is no model that is read here."""
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
    except (ValueError, OSError) as unreadable:
        if (said := " ".join(str(unreadable).split())) not in problem:
            problem = f"{problem}; {said}"
        return Diagnosis(
            path=path,
            description=f"{kind} whose weights cannot be read",
            problems=(problem,),
            causes=tuple(_causes_of_path(path)),
        )
    causes = causes_of_keys(shapes) or _causes_of_path(path)
    return Diagnosis(
        path=path,
        description=f"{kind} of weights, of no vision-language model that is read here",
        parameters=count_parameters(shapes),
        dtypes=dtypes,
        problems=(problem,),
        causes=tuple(causes),
    )


def _causes_of_path(path: Path) -> list[str]:
    try:
        return causes_of_path(path)
    except OSError as error:  # for instance no permission to list the folder
        return [f"{error.filename}: {error.strerror}"]


def _tokenizer_problems(source: VlmSource) -> list[str]:
    if not has_tokenizer(source.tokenizer_folder):
        return []
    try:
        tokenizer = load_tokenizer(source.tokenizer_folder)
        check_tokenizer(tokenizer, source.config, source.tokenizer_folder)
    except (ValueError, OSError) as error:
        return [" ".join(str(error).split())]
    return []


def _notes(source: VlmSource) -> list[str]:
    notes = []
    if not has_tokenizer(source.tokenizer_folder):
        notes.append(
            "no tokenizer: tensors go in and out, text does not; copy the files of the one that it "
            "was trained with"
        )
    folder = source.path if source.path.is_dir() else source.path.parent
    values = read_json(folder / "config.json")
    if values.get("model_type") == llava_next.MODEL_TYPE and STATED not in values:
        notes.append(
            f"config.json does not state {STATED}, as none of this layout does: "
            f"{source.config.template} is taken"
        )
    return notes
