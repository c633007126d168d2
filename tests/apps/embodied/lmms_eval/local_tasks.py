"""Two tasks of the harness on local files: a dozen pictures to write about, and to choose for."""

from __future__ import annotations

import json
from pathlib import Path

import PIL.Image
from tests.core.language.toy_models import speckled

COUNT = 12
CHOICES = ("red", "a blue ball", "9")
PROMPT = "Which is it?"

_TASK = """
task: {task}
dataset_path: json
dataset_kwargs: {{data_files: {{test: documents.json}}}}
test_split: test
output_type: {output}
doc_to_visual: !function local.picture
doc_to_text: !function local.question
doc_to_target: {target}
{more}
metric_list:
  - metric: {metric}
    aggregation: mean
    higher_is_better: true
metadata:
  - version: 1.0
"""
_CODE = f"""
import PIL.Image


def picture(doc):
    return [PIL.Image.open(doc["image"])]


def question(doc):
    return {PROMPT!r}


def measure(doc, results):
    return {{"length": len(results[0])}}
"""


def write_tasks(folder: Path) -> list[Path]:
    """The tasks `local_writing` and `local_choice` in a folder; their pictures."""
    folder.mkdir()
    pictures = [folder / f"{number:02d}.png" for number in range(COUNT)]
    for number, path in enumerate(pictures):
        PIL.Image.fromarray(speckled(30 + number, 40 - number, number)).save(path)
    documents = [
        {"image": str(path), "answer": number % len(CHOICES), "choices": list(CHOICES)}
        for number, path in enumerate(pictures)
    ]
    (folder / "documents.json").write_text(json.dumps(documents))
    (folder / "local.py").write_text(_CODE)
    writing = "generation_kwargs: {max_new_tokens: 5, temperature: 0, do_sample: false}\n"
    writing += "process_results: !function local.measure"
    choice = "doc_to_choice: choices\ntarget_delimiter: ''"
    for task, output, target, more, metric in (
        ("local_writing", "generate_until", "answer", writing, "length"),
        ("local_choice", "multiple_choice", "answer", choice, "acc"),
    ):
        text = _TASK.format(task=task, output=output, target=target, more=more, metric=metric)
        (folder / f"{task}.yaml").write_text(text)
    return pictures
