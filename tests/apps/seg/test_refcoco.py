"""A segmenter on phrases with masks: the numbers of a slow loop, resumed, shared, and shown."""

from __future__ import annotations

import base64
import io
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import PIL.Image
import pytest
from tests.apps.seg.refcoco_to_ask import PHRASES, write_set
from tests.apps.seg.toy_seg import random_seg, trained_seg

from mlcd.apps.seg import Segmentation, Segmenter
from mlcd.apps.seg.published import CIOU, COLUMNS, find_split
from mlcd.apps.seg.refcoco import evaluate, shuffled
from mlcd.cli.main import main
from mlcd.core.datasets.refcoco import read_refcoco
from mlcd.core.datasets.referring_set import ReferringSet
from mlcd.core.images import read_image
from mlcd.core.masks import Mask
from mlcd.core.results import Result, load_result
from mlcd.core.results.shares import Share
from mlcd.core.rle import decode_rle


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("sets")
    write_set(root)
    return write_set(root, "grefcoco")


@pytest.fixture
def referring_set(root: Path) -> ReferringSet:
    return read_refcoco(root, "refcoco", "val")


class Counting(Segmenter):
    """Notes what it was asked, and can be killed before an answer."""

    def __init__(self, killed_at: int | None = None) -> None:
        super().__init__(trained_seg())
        self.asked: list[str] = []
        self.killed_at = killed_at

    def segment_each(
        self, image: Any, phrases: Sequence[str], *, force: bool = False
    ) -> Iterator[Segmentation]:
        for phrase, found in zip(
            phrases, super().segment_each(image, phrases, force=force), strict=True
        ):
            if len(self.asked) == self.killed_at:
                raise KeyboardInterrupt
            self.asked.append(phrase)
            yield found


@pytest.fixture(scope="module")
def by_one(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("one") / "out"
    result = evaluate(read_refcoco(root, "refcoco", "val"), Segmenter(trained_seg()), folder)
    assert result is not None
    return result


def masks_by_hand(
    referring_set: ReferringSet, *, force: bool
) -> Iterator[tuple[str, bool, Mask, list[Mask], Mask]]:
    """Of each phrase: picture, whether something is there, found, each polygon, and their union."""
    segmenter = Segmenter(trained_seg())
    for phrase in referring_set.phrases:
        found = segmenter.segment(read_image(phrase.image.path), phrase.text, force=force)
        nothing = np.zeros(phrase.image.shape, dtype=bool)
        polygons = [decode_rle(run) for run in phrase.runs()]
        union = nothing.copy()
        for polygon in polygons:
            union |= polygon
        mask = nothing if found.mask is None else found.mask
        yield phrase.image.id, phrase.has_target, mask, polygons, union


def numbers_by_hand(referring_set: ReferringSet, *, force: bool) -> dict[str, float]:
    shared = united = 0
    ious: list[float] = []
    targeted: list[float] = []
    absent: list[bool] = []
    present: list[bool] = []
    for _, has_target, found, _, truth in masks_by_hand(referring_set, force=force):
        inside, around = 0, 0
        for y in range(truth.shape[0]):
            for x in range(truth.shape[1]):
                inside += bool(found[y, x] and truth[y, x])
                around += bool(found[y, x] or truth[y, x])
        shared, united = shared + inside, united + around
        ious.append(inside / around if around else 1.0)
        (present if has_target else absent).append(bool(found.any()))
        if has_target:
            targeted.append(ious[-1])
    numbers = {"cIoU": shared / united, "gIoU": sum(ious) / len(ious)}
    for least in (0.5, 0.6, 0.7, 0.8, 0.9):
        numbers[f"Pr@{least}"] = sum(iou >= least for iou in targeted) / len(targeted)
    if absent:
        numbers["N-acc"] = 1 - sum(absent) / len(absent)
        numbers["T-acc"] = sum(present) / len(present)
    return numbers


def test_the_numbers_are_those_of_a_slow_loop(referring_set: ReferringSet, by_one: Result) -> None:
    for name, value in numbers_by_hand(referring_set, force=False).items():
        assert by_one.metrics[name] == pytest.approx(value), name
    for name, value in numbers_by_hand(referring_set, force=True).items():
        assert by_one.metrics[f"forced {name}"] == pytest.approx(value), name
    segmenter = Segmenter(trained_seg())
    said = [bool(segmenter.segment(p.image.path, p.text).masks) for p in referring_set.phrases]
    assert by_one.metrics["[SEG] rate"] == fmean(said)
    assert 0 < by_one.metrics["[SEG] rate"] < 1
    assert "N-acc" not in by_one.metrics
    assert by_one.metrics["cIoU"] != by_one.metrics["forced cIoU"]
    for name in ("cIoU", "gIoU", "forced cIoU", "forced gIoU", "[SEG] rate"):
        low, high = by_one.intervals[name]
        assert low < by_one.metrics[name] < high


def test_other_projects_rules_are_those_of_a_slow_loop(
    referring_set: ReferringSet, by_one: Result
) -> None:
    shared = united = 0
    lisa: list[float] = []
    of_image: dict[str, list[float]] = {}
    for image, _, found, polygons, truth in masks_by_hand(referring_set, force=True):
        once = np.sum(polygons, axis=0) == 1
        shared += int((found & once).sum())
        united += int((found | once).sum())
        lisa.append(int((found & once).sum()) / (int((found | once).sum()) + 1e-5))
        iou = int((found & truth).sum()) / (int((found | truth).sum()) + 1e-5)
        of_image.setdefault(image, []).append(iou)
    assert by_one.metrics["cIoU (lisa)"] == pytest.approx(shared / united)
    assert by_one.metrics["gIoU (lisa)"] == pytest.approx(fmean(lisa))
    assert by_one.metrics["gIoU (mlcd-seg)"] == pytest.approx(
        fmean(fmean(own) for own in of_image.values())
    )
    assert by_one.metrics["gIoU (mlcd-seg)"] != pytest.approx(by_one.metrics["forced gIoU"])
    assert by_one.metrics["cIoU (lisa)"] != pytest.approx(by_one.metrics["forced cIoU"])


def test_phrases_of_nothing_are_measured(root: Path, tmp_path: Path) -> None:
    referring_set = read_refcoco(root, "grefcoco", "val")
    result = evaluate(referring_set, Segmenter(trained_seg()), tmp_path / "out")
    assert result is not None
    by_hand = numbers_by_hand(referring_set, force=False)
    assert {name: result.metrics[name] for name in by_hand} == pytest.approx(by_hand)
    assert result.metrics["N-acc"] > 0
    assert "N-acc" in result.intervals
    absent = [sample for sample in result.samples() if not sample["has_target"]]
    assert {sample["phrase"] for sample in absent} == {"dog"}
    assert len(absent) == 3


def test_masks_are_kept_and_recomputed_without_the_model(
    referring_set: ReferringSet, by_one: Result, capsys: pytest.CaptureFixture[str]
) -> None:
    segmenter = Segmenter(trained_seg())
    for sample, phrase in zip(by_one.samples(), referring_set.phrases, strict=True):
        forced = segmenter.segment(phrase.image.path, phrase.text, force=True)
        assert sample["id"] == phrase.id
        assert sample["text"] == segmenter.segment(phrase.image.path, phrase.text).text
        if forced.mask is None:
            assert sample["mask"] is None
        else:
            assert np.array_equal(decode_rle(sample["mask"]), forced.mask)
    assert main(["results", "recompute", str(by_one.folder), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["is_equal"] is True
    assert "gIoU (glamm)" in again["recomputed"]
    assert "cIoU (lavt)" in again["recomputed"]


@pytest.mark.parametrize("killed_at", [1, 6])
def test_killed_at_a_sample_it_goes_on_there(
    killed_at: int, referring_set: ReferringSet, by_one: Result, tmp_path: Path
) -> None:
    first, second = Counting(killed_at), Counting()
    with pytest.raises(KeyboardInterrupt):
        evaluate(referring_set, first, tmp_path / "out")
    assert len((tmp_path / "out" / "samples.jsonl").read_text().splitlines()) == killed_at
    result = evaluate(referring_set, second, tmp_path / "out")
    assert result is not None
    assert first.asked + second.asked == [text for own in PHRASES.values() for text in own]
    assert result.samples() == by_one.samples()
    assert result.metrics == by_one.metrics
    third = Counting()
    assert evaluate(referring_set, third, tmp_path / "out") is not None
    assert third.asked == []


@pytest.mark.parametrize("count", [2, 4, 7])
def test_several_processes_give_exactly_the_numbers_of_one(
    count: int, referring_set: ReferringSet, by_one: Result, tmp_path: Path
) -> None:
    segmenter = Counting()
    results = [
        evaluate(referring_set, segmenter, tmp_path / "out", share=Share(number, count))
        for number in range(count)
    ]
    (result,) = [result for result in results if result is not None]
    assert sorted(segmenter.asked) == sorted(text for own in PHRASES.values() for text in own)
    assert result.samples() == by_one.samples()
    assert result.metrics == by_one.metrics
    assert result.intervals == by_one.intervals


def test_intervals_do_not_depend_on_the_order(
    referring_set: ReferringSet, by_one: Result, tmp_path: Path
) -> None:
    """Killed as one of two, then done by one alone: the lines stand in another order."""
    assert evaluate(referring_set, Counting(), tmp_path / "out", share=Share(1, 2)) is None
    result = evaluate(referring_set, Counting(), tmp_path / "out")
    assert result is not None
    assert [own["id"] for own in result.samples()] != [own["id"] for own in by_one.samples()]
    assert result.metrics == pytest.approx(by_one.metrics, rel=1e-12)
    assert result.intervals == by_one.intervals


def test_another_measurement_is_refused(referring_set: ReferringSet, by_one: Result) -> None:
    for segmenter, changes, differs in (
        (Segmenter(random_seg(seed=5)), {}, "weights_sha256"),
        (Segmenter(trained_seg()), {"limit": 3}, "settings.limit"),
        (Segmenter(trained_seg()), {"is_shuffled": True}, "settings.is_shuffled"),
        (Segmenter(trained_seg()), {"outputs": ("free",)}, "settings.outputs"),
    ):
        with pytest.raises(ValueError, match=rf"another measurement.*{differs} is"):
            evaluate(referring_set, segmenter, by_one.folder, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize("output", ["free", "forced"])
def test_one_output_alone(
    output: Any, referring_set: ReferringSet, by_one: Result, tmp_path: Path
) -> None:
    result = evaluate(
        referring_set, Segmenter(trained_seg()), tmp_path / "out", outputs=(output,), limit=6
    )
    assert result is not None
    assert result.num_samples == 6
    names = {name for name in result.metrics if "(" not in name}
    prefix = "" if output == "free" else "forced "
    wanted = {f"{prefix}{name}" for name in ("cIoU", "gIoU", *(f"Pr@0.{n}" for n in range(5, 10)))}
    assert names == wanted | {"[SEG] rate"}
    for sample, whole in zip(result.samples(), by_one.samples()[:6], strict=True):
        assert sample[output] == whole[output]
    with pytest.raises(ValueError, match="expected some of free, forced"):
        evaluate(referring_set, Segmenter(trained_seg()), tmp_path / "no", outputs=())


def test_a_shuffled_phrase_is_of_another_picture(
    referring_set: ReferringSet, by_one: Result, tmp_path: Path
) -> None:
    named = [replace(phrase, text=phrase.id) for phrase in referring_set.phrases]
    image_of = {phrase.id: phrase.image.id for phrase in named}
    for seed in range(5):
        control = shuffled(named, seed)
        assert [phrase.id for phrase in control] == list(image_of)
        assert {phrase.text for phrase in control} == set(image_of)  # every text once
        assert all(image_of[phrase.text] != phrase.image.id for phrase in control)
    assert [p.text for p in shuffled(referring_set.phrases)] != [
        p.text for p in shuffled(referring_set.phrases, 1)
    ]
    result = evaluate(referring_set, Segmenter(trained_seg()), tmp_path / "out", is_shuffled=True)
    assert result is not None
    assert "a control" in result.stamp.protocol
    assert result.metrics["cIoU"] != by_one.metrics["cIoU"]
    for sample, phrase in zip(result.samples(), referring_set.phrases, strict=True):
        assert sample["forced"]["true"] == int(phrase.mask().sum())  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="more than half of the phrases are about one picture"):
        shuffled(list(referring_set.phrases)[:5])


def test_the_report_shows_published_numbers_and_overlays(by_one: Result) -> None:
    page = (by_one.folder / "report.html").read_text()
    assert "MLCD-Seg-7B (the paper&#x27;s)" in page
    assert "ANOTHER SET IN THE SAME LAYOUT" in page
    assert not by_one.published  # the pictures are not those of the papers
    for section in ("Worst cases", "Best cases", "By chance"):
        assert f"<h2>{section}: found (left), true (right)</h2>" in page
    sources = re.findall(r'src="data:image/jpeg;base64,([^"]+)"', page)
    assert len(sources) == 18
    sizes = {PIL.Image.open(io.BytesIO(base64.b64decode(own))).size for own in sources}
    assert sizes == {(20 + 6 + 20, 12)}


def test_published_splits_are_found_by_name() -> None:
    split = find_split("refcoco+ (unc) testB")
    assert split is not None
    assert split.is_published
    assert split.rows["MLCD-Seg-7B"][split.place] == 75.6
    other = find_split("refcocog (umd) test, another set (3 refs)")
    assert other is not None
    assert not other.is_published
    assert other.rows["LISA-7B (ft)"][other.place] == 70.6
    for name in ("refcoco (google) val", "refcoco (unc) train", "my own phrases"):
        assert find_split(name) is None
    assert all(len(values) == len(COLUMNS) for values in CIOU.values())


def test_papers_stand_beside_our_own_metric_on_their_own_pictures(
    root: Path, tmp_path: Path
) -> None:
    phrases = read_refcoco(root, "refcoco", "val").phrases
    as_published = ReferringSet("refcoco (unc) val", phrases, "0" * 64)
    evaluate(as_published, Segmenter(trained_seg()), tmp_path / "out", limit=2)
    result = load_result(tmp_path / "out")
    values = {own.model: (own.metric, own.value) for own in result.published}
    assert values["MLCD-Seg-7B"] == ("forced cIoU", pytest.approx(0.836))
    assert "ANOTHER SET" not in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("phrase", "message"),
    [(" ", "an empty phrase"), ("cup " * 2000, r"a phrase of 2,000 words is too long")],
)
def test_a_phrase_that_cannot_be_asked_stops_the_measurement(
    phrase: str, message: str, root: Path, tmp_path: Path
) -> None:
    """It says of which picture; a number over the others would be another measurement."""
    whole = read_refcoco(root, "refcoco", "val")
    phrases = [*whole.phrases[:5], replace(whole.phrases[5], text=phrase)]
    asked = ReferringSet("one bad phrase", phrases, "0" * 64)
    with pytest.raises(ValueError, match=rf"made_000000000002.png.*{message}"):
        evaluate(asked, Segmenter(trained_seg()), tmp_path / "out")
    assert not (tmp_path / "out" / "result.json").exists()
    assert len((tmp_path / "out" / "samples.jsonl").read_text().splitlines()) == 4


def test_a_picture_of_another_size_or_none_stops_the_measurement(tmp_path: Path) -> None:
    root = write_set(tmp_path)
    picture = root / "images/mscoco/images/train2014/made_000000000003.png"
    PIL.Image.new("RGB", (21, 12)).save(picture)
    referring_set = read_refcoco(root, "refcoco", "val")
    with pytest.raises(ValueError, match=r"a picture of 21 x 12 pixels, its masks are of 20 x 12"):
        evaluate(referring_set, Segmenter(trained_seg()), tmp_path / "out")
    picture.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"made_000000000003\.png"):
        evaluate(read_refcoco(root, "refcoco", "val"), Segmenter(trained_seg()), tmp_path / "new")
