"""The lines of an evaluation's `samples.jsonl`, and every number that is computed from them.

Neither model nor pictures are needed: `mlcd results recompute` computes all of it again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlcd.apps.seg.counts import MaskCounts, count_masks, count_squashed
from mlcd.apps.seg.metrics import (
    OURS,
    PRECISIONS,
    RULES,
    Output,
    SampleRow,
    sample_iou,
)
from mlcd.apps.seg.metrics import summarize as summarize_rows
from mlcd.core.datasets.referring_set import Phrase
from mlcd.core.masks import Mask
from mlcd.core.results.bootstrap import Interval, mean_interval, ratio_interval
from mlcd.core.results.sample_log import Sample
from mlcd.core.rle import encode_mask

if TYPE_CHECKING:
    from mlcd.apps.seg.segmenter import Segmentation

OUTPUTS: tuple[Output, ...] = ("free", "forced")


def sample_line(
    phrase: Phrase, found: Segmentation, outputs: Sequence[Output] = OUTPUTS
) -> dict[str, Any]:
    """What `samples.jsonl` holds of a phrase and what was found for it.

    `mask` are the runs of the mask that was found; where `says_seg` is false it was forced. `score`
    is the IoU of the first output. ValueError for a true mask that cannot be read.
    """
    says_seg = bool(found.masks) and found.refusal is None
    truth = phrase.runs()
    masks: dict[str, Mask | None] = {"free": found.mask if says_seg else None}
    masks["forced"] = found.mask
    counts: dict[str, MaskCounts] = {}
    for name in outputs:
        if name == "forced" and says_seg and counts:  # the same mask
            counts |= {"forced": counts["free"], "forced_squashed": counts["free_squashed"]}
            continue
        counts[name] = count_masks(masks[name], truth, phrase.image.shape)
        counts[f"{name}_squashed"] = count_squashed(masks[name], truth, phrase.image.shape)
    row = SampleRow(
        sample=phrase.id,
        image=phrase.image.id,
        has_target=phrase.has_target,
        says_seg=says_seg,
        **counts,
    )
    line = row.to_dict()
    return {
        "id": line.pop("sample"),
        "score": sample_iou(counts[outputs[0]]),
        "phrase": phrase.text,
        **({"row": phrase.row} if phrase.row else {}),
        **line,
        "text": found.text if found.refusal is None else found.refusal,
        "mask": None if found.mask is None else encode_mask(found.mask),
    }


def read_rows(samples: Sequence[Sample]) -> list[SampleRow]:
    """The table of counts in the lines; ValueError for a line that has none."""
    return [SampleRow.from_dict({**sample, "sample": sample["id"]}) for sample in samples]


def measured_outputs(rows: Sequence[SampleRow]) -> list[Output]:
    """Which outputs every line of a table has counts of."""
    return [name for name in OUTPUTS if all(getattr(row, name) is not None for row in rows)]


def summarize(samples: Sequence[Sample]) -> dict[str, float]:
    """Every metric of the lines, as shares of 1.

    Of the free output cIoU, gIoU, Pr@0.5 ... 0.9, [SEG] rate and, with phrases of nothing, N-acc
    and T-acc; of the forced one the first three, their names after "forced". "cIoU (lisa)" is by
    that project's rules, of the forced output where that was measured, as the projects force it.
    """
    rows = read_rows(samples)
    outputs = measured_outputs(rows)
    if not outputs:
        raise ValueError("the lines have counts of neither the free nor the forced output")
    metrics: dict[str, float] = {}
    for output in outputs:
        numbers = summarize_rows(rows, output=output)
        if output == "forced":
            metrics |= {
                f"forced {name}": value
                for name, value in numbers.items()
                if name in ("cIoU", "gIoU") or name.startswith("Pr@")
            }
            metrics.setdefault("[SEG] rate", numbers["[SEG] rate"])
        else:
            metrics |= numbers
    for name, rules in RULES.items():
        if rules is not OURS:
            numbers = summarize_rows(rows, rules, output=outputs[-1])
            metrics |= {f"{own} ({name})": numbers[own] for own in ("cIoU", "gIoU")}
    return metrics


def intervals(samples: Sequence[Sample], *, seed: int = 0) -> dict[str, Interval]:
    """95 % intervals of the metrics by our own rules, the phrases being resampled.

    They do not depend on the order of the lines.
    """
    rows = sorted(read_rows(samples), key=lambda row: row.sample)
    found: dict[str, Interval] = {}
    for output in measured_outputs(rows):
        prefix = "" if output == "free" else "forced "
        counts: list[MaskCounts] = [getattr(row, output) for row in rows]
        unions = [own.union() for own in counts]
        if any(unions):
            shared = [own.intersection() for own in counts]
            found[f"{prefix}cIoU"] = ratio_interval(shared, unions, seed=seed)
        ious = [sample_iou(own) for own in counts]
        found[f"{prefix}gIoU"] = mean_interval(ious, seed=seed)
        targeted = [iou for row, iou in zip(rows, ious, strict=True) if row.has_target]
        for least in PRECISIONS if targeted else ():
            hits = [float(iou >= least) for iou in targeted]
            found[f"{prefix}Pr@{least}"] = mean_interval(hits, seed=seed)
        if output == "free":
            found |= _presence_intervals(rows, counts, seed)
    said = [float(row.says_seg) for row in rows]
    return found | {"[SEG] rate": mean_interval(said, seed=seed)}


def _presence_intervals(
    rows: Sequence[SampleRow], counts: Sequence[MaskCounts], seed: int
) -> dict[str, Interval]:
    """Of N-acc and T-acc, where there are phrases of nothing."""
    right: dict[bool, list[float]] = {False: [], True: []}
    for row, own in zip(rows, counts, strict=True):
        right[row.has_target].append(float((own.predicted > 0) == row.has_target))
    if not right[False]:
        return {}
    names = {"N-acc": right[False], "T-acc": right[True]}
    return {name: mean_interval(values, seed=seed) for name, values in names.items() if values}
