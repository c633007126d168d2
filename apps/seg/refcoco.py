"""Measuring a segmenter on phrases with masks (RefCOCO and others in its layout), resumably.

Every phrase is asked on its own, in the words of its set, and measured in the picture's own size.
What other projects do differently is in `metrics.py`, and computed from the same lines.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlcd.apps.seg.exhibits import (
    overlay_pictures,
    precision_plot,
    published_beside,
    published_table,
    row_table,
    rules_table,
)
from mlcd.apps.seg.metrics import Output
from mlcd.apps.seg.sample_table import OUTPUTS, intervals, sample_line, summarize
from mlcd.core.datasets.referring_set import Phrase, ReferredImage, ReferringSet
from mlcd.core.images import Image, read_image
from mlcd.core.results import Evaluation, Result, Stamp
from mlcd.core.results.shares import Share, evaluate_shared

if TYPE_CHECKING:
    from mlcd.apps.seg.segmenter import Segmenter

SET_WORDS = "the phrase of its set"
SHUFFLED_WORDS = "instead of its own the phrase of another picture, chosen by chance (a control)"


def evaluate(
    referring_set: ReferringSet,
    segmenter: Segmenter,
    folder: str | Path,
    *,
    outputs: Sequence[Output] = OUTPUTS,
    limit: int | None = None,
    is_shuffled: bool = False,
    seed: int = 0,
    share: Share | None = None,
    num_pictures: int = 6,
    progress: Callable[[int, int], None] | None = None,
) -> Result | None:
    """Measure the segmenter, or go on where an earlier run into `folder` was killed.

    `outputs`: what the model says by itself, and with a mask asked of it in any case. `limit`: the
    first phrases of the set alone. `is_shuffled`: each with the phrase of another picture, which
    shows how much of a number comes without reading. `share`: of several processes with the same
    folder; None comes back to those that are not the last. `num_pictures`: of the best, the worst
    and by chance, in the report.

    ValueError when the folder holds another measurement, and naming a phrase or picture that cannot
    be asked about: a number over the others would be another measurement.
    """
    if not outputs or not set(outputs) <= set(OUTPUTS):
        raise ValueError(f"outputs {outputs}: expected some of {', '.join(OUTPUTS)}")
    if limit is not None and limit < 1:
        raise ValueError(f"limit {limit}: expected at least one phrase")
    outputs = [name for name in OUTPUTS if name in outputs]
    phrases = list(referring_set.phrases)[:limit]
    asked = shuffled(phrases, seed) if is_shuffled else phrases
    groups = dataclasses.replace(referring_set, phrases=asked).by_image()
    share = share or Share()

    def work(evaluation: Evaluation) -> None:
        own = [group for place, group in enumerate(groups) if share.takes(place)]
        total = sum(len(of_image) for _, of_image in own)
        done = sum(phrase.id in evaluation.done for _, of_image in own for phrase in of_image)
        for image, of_image in own:
            left = [phrase for phrase in of_image if phrase.id not in evaluation.done]
            for line in _ask(segmenter, image, left, outputs) if left else ():
                evaluation.add(line)
                done += 1
                if progress is not None:
                    progress(done, total)

    def finish(evaluation: Evaluation) -> Result:
        samples = evaluation.samples()
        metrics = summarize(samples)
        tables = [
            published_table(referring_set.name, evaluation.stamp.model, metrics),
            row_table(samples),
            rules_table(metrics, outputs[-1]),
        ]
        return evaluation.finish(
            metrics,
            intervals=intervals(samples, seed=seed),
            tables=[table for table in tables if table is not None],
            plots=[plot for plot in [precision_plot(metrics)] if plot.lines],
            pictures=overlay_pictures(samples, asked, num_pictures, seed),
            published=published_beside(referring_set.name, metrics),
        )

    stamp = _stamp(referring_set, segmenter, outputs, limit, is_shuffled, seed)
    ids = [phrase.id for _, of_image in groups for phrase in of_image]
    return evaluate_shared(folder, stamp, ids, share=share, work=work, finish=finish)


def shuffled(phrases: Sequence[Phrase], seed: int = 0) -> list[Phrase]:
    """Each with the words of a phrase about another picture, every text used once.

    ValueError where more than half of the phrases are about one picture.
    """
    by_image: dict[str, list[int]] = {}
    for number, phrase in enumerate(phrases):
        by_image.setdefault(phrase.image.id, []).append(number)
    groups = list(by_image.values())
    random.Random(seed).shuffle(groups)
    order = [number for group in groups for number in group]
    # As far as the largest group is long, so that no phrase stays with its picture.
    step = max(map(len, groups))
    if 2 * step > len(order):
        raise ValueError(
            "more than half of the phrases are about one picture: there are not enough others to "
            "shuffle with"
        )
    given = {here: order[(place + step) % len(order)] for place, here in enumerate(order)}
    return [
        dataclasses.replace(phrase, text=phrases[given[number]].text)
        for number, phrase in enumerate(phrases)
    ]


def _ask(
    segmenter: Segmenter, image: ReferredImage, phrases: Sequence[Phrase], outputs: Sequence[Output]
) -> Iterator[dict[str, Any]]:
    """The lines of phrases about one picture, one after the other."""
    texts = [phrase.text for phrase in phrases]
    try:
        found = segmenter.segment_each(read_referred(image), texts, force="forced" in outputs)
        for phrase, own in zip(phrases, found, strict=True):
            yield sample_line(phrase, own, outputs)
    except ValueError as error:
        raise ValueError(f"{image.path.name}, phrases {phrases[0].id} on: {error}") from error


def read_referred(image: ReferredImage) -> Image:
    """The picture of phrases; ValueError when it has another size than its masks."""
    picture = read_image(image.path)
    if picture.shape[:2] != image.shape:
        raise ValueError(
            f"{image.path}: a picture of {picture.shape[1]} x {picture.shape[0]} pixels, its masks "
            f"are of {image.shape[1]} x {image.shape[0]}; is it the picture of this set?"
        )
    return picture


def protocol_sentence(
    referring_set: ReferringSet,
    *,
    outputs: Sequence[Output] = OUTPUTS,
    limit: int | None = None,
    is_shuffled: bool = False,
) -> str:
    """What is measured, so that a stranger can do the same."""
    count = min(limit or len(referring_set.phrases), len(referring_set.phrases))
    some = f"the first {count:,}" if count < len(referring_set.phrases) else f"all {count:,}"
    said = {
        "free": "free: no [SEG], no mask",
        "forced": "forced: where the model gave no mask an answer with [SEG] is written for it",
    }
    return (
        f"{referring_set.name}: {some} phrases, each asked on its own about its picture with "
        f"{SHUFFLED_WORDS if is_shuffled else SET_WORDS}, answered greedily "
        f"({'; '.join(said[name] for name in outputs)}); masks of one answer united, in the "
        "picture's size where logits are above 0, against the union of what is annotated; cIoU: "
        "sum of intersections / sum of unions; gIoU: mean IoU over phrases, 1 where both masks are "
        "empty"
    )


def _stamp(
    referring_set: ReferringSet,
    segmenter: Segmenter,
    outputs: Sequence[Output],
    limit: int | None,
    is_shuffled: bool,
    seed: int,
) -> Stamp:
    from mlcd.apps.seg.segmenter import MOST_WORDS
    from mlcd.apps.seg.source import seg_weights
    from mlcd.core.checkpoint import weights_digest

    model, config = segmenter.model, segmenter.model.config
    prompt = json.dumps([config.question, config.answer, config.vlm.template, MOST_WORDS])
    return Stamp(
        task="referring",
        protocol=protocol_sentence(
            referring_set, outputs=outputs, limit=limit, is_shuffled=is_shuffled
        ),
        model=model.name,
        weights_sha256=weights_digest(seg_weights(model)),
        data_sha256=referring_set.digest,
        prompt_sha256=sha256(prompt.encode()).hexdigest(),
        seed=seed,
        settings={
            "outputs": list(outputs),
            "limit": limit,
            "is_shuffled": is_shuffled,
            "dtype": str(next(model.parameters()).dtype).removeprefix("torch."),
        },
    )
