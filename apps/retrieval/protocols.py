"""Evaluating a tower on a labelled retrieval set, into a result folder that survives a kill."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from mlcd.apps.retrieval.intake import Progress
from mlcd.apps.retrieval.metrics import RECALL_AT, summarize
from mlcd.apps.retrieval.rankings import rank_relevant
from mlcd.apps.retrieval.sheet import Answer, Tile, draw_sheet
from mlcd.apps.retrieval.vectors import Vectors
from mlcd.core.datasets.retrieval_set import LabelledImage, RetrievalSet
from mlcd.core.embedding.table import embed_table
from mlcd.core.results import Evaluation, Picture, Plot, Published, Result, Stamp
from mlcd.core.results.sample_log import Sample
from mlcd.core.towers import VisionTower

DEPTH = max(RECALL_AT)
WORST = 8  # queries shown in the report
EMBEDDINGS = "embeddings-{}.npy"
UNICOM_SOP_TABLE = "An et al., UNICOM, ICLR 2023; zero-shot R@1 table of its repository's README"
UNICOM_SOP = {"B/32": 0.700, "B/16": 0.704, "L/14": 0.727, "L/14@336": 0.745}


def evaluate(
    retrieval_set: RetrievalSet,
    tower: VisionTower,
    folder: str | Path,
    *,
    batch_size: int = 32,
    progress: Progress | None = None,
) -> Result:
    """Measure `tower` on the set, or go on where an earlier run into `folder` was killed.

    ValueError when the folder holds another measurement, and when a picture cannot be read: a
    number over the others would be another measurement too. It is embedded again at the next run.
    """
    folder = Path(folder)
    asking = retrieval_set.asking
    stamp = Stamp(
        task="retrieval",
        protocol=protocol_sentence(retrieval_set),
        model=tower.name,
        weights_sha256=tower.weights_sha256(),
        data_sha256=retrieval_set.digest,
        seed=0,
        settings={
            "batch_size": batch_size,
            "dtype": str(next(tower.parameters()).dtype).removeprefix("torch."),
            "preprocess": tower.config.preprocess.to_dict(),
            "depth": search_depth(retrieval_set),
        },
    )
    with Evaluation.open(folder, stamp, num_samples=len(asking)) as evaluation:
        if evaluation.result is not None:
            return evaluation.result
        left = [i for i, image in enumerate(asking) if image.id not in evaluation.done]
        tables = {"gallery": retrieval_set.gallery}
        if retrieval_set.queries is not None:
            tables["queries"] = retrieval_set.queries
        if left:
            embeddings = {
                side: embed_table(
                    folder / EMBEDDINGS.format(side),
                    [image.source for image in images],
                    tower,
                    width=tower.config.output_dim,
                    batch_size=batch_size,
                    progress=progress,
                )
                for side, images in tables.items()
            }
            gallery = embeddings["gallery"]
            queries = embeddings.get("queries", gallery)
            for sample in rank_samples(retrieval_set, queries, gallery, left):
                evaluation.add(sample)
        samples = evaluation.samples()
        result = evaluation.finish(
            summarize(samples),
            summarize=summarize,
            plots=[_recall_plot(samples)],
            pictures=_worst_pictures(retrieval_set, samples),
            published=_published(retrieval_set),
        )
        for side in tables:  # the samples hold all that the metrics need
            (folder / EMBEDDINGS.format(side)).unlink(missing_ok=True)
        return result


def measure_embeddings(
    retrieval_set: RetrievalSet, queries: Vectors, gallery: Vectors
) -> dict[str, float]:
    """The metrics of embeddings from anywhere: (Q, D) and (N, D) float32, L2-normalised.

    A set that asks itself takes the same embeddings twice.
    """
    asked = range(len(retrieval_set.asking))
    return summarize(rank_samples(retrieval_set, queries, gallery, asked))


def rank_samples(
    retrieval_set: RetrievalSet, queries: Vectors, gallery: Vectors, asked: Sequence[int]
) -> Iterator[Sample]:
    """What `samples.jsonl` holds of each query that is `asked`. `score`: R@1."""
    asking = retrieval_set.asking
    place = {image.id: i for i, image in enumerate(retrieval_set.gallery)}
    own = [place.get(image.id) for image in asking]
    depth = search_depth(retrieval_set)
    for ranking in rank_relevant(
        queries,
        gallery,
        [image.label for image in asking],
        [image.label for image in retrieval_set.gallery],
        own=own,
        depth=depth,
        asked=asked,
    ):
        yield {
            "id": asking[ranking.query].id,
            "score": float(ranking.ranks[:1] == [1]),
            "label": asking[ranking.query].label,
            "relevant": ranking.num_relevant,
            "ranks": ranking.ranks,
            "depth": depth,
            "hits": [[retrieval_set.gallery[i].id, round(cosine, 6)] for i, cosine in ranking.hits],
        }


def search_depth(retrieval_set: RetrievalSet) -> int:
    """How far down the hits are looked at: enough for every K, every R, and no further."""
    most_relevant = max(Counter(image.label for image in retrieval_set.gallery).values())
    return min(max(DEPTH, most_relevant), len(retrieval_set.gallery))


def protocol_sentence(retrieval_set: RetrievalSet) -> str:
    """What is measured, so that a stranger can do the same."""
    gallery = len(retrieval_set.gallery)
    sides = (
        f"each of {gallery:,} pictures against all others"
        if retrieval_set.queries is None
        else f"{len(retrieval_set.queries):,} queries against {gallery:,} pictures"
    )
    return (
        f"{retrieval_set.name}: {sides}, by cosine of L2-normalised embeddings; a query is no hit "
        f"of itself, by identity; equal cosines in the gallery's order; queries without a relevant "
        f"picture are left out"
    )


def _recall_plot(samples: Sequence[Sample]) -> Plot:
    metrics = summarize(samples)
    points = [(float(k), metrics[f"R@{k}"]) for k in RECALL_AT if f"R@{k}" in metrics]
    return Plot(
        title="A relevant picture among the K nearest",
        x_label="K",
        y_label="share of queries",
        lines={"R@K": points},
        x_scale="log",
    )


def _worst_pictures(retrieval_set: RetrievalSet, samples: Sequence[Sample]) -> list[Picture]:
    """The queries whose first relevant picture stands furthest down, with what came first."""
    answerable = [sample for sample in samples if sample["relevant"]]
    answerable.sort(key=lambda sample: (-min(sample["ranks"], default=math.inf), sample["id"]))
    queries = {image.id: image for image in retrieval_set.asking}
    gallery = {image.id: image for image in retrieval_set.gallery}
    return [_worst_picture(sample, queries[sample["id"]], gallery) for sample in answerable[:WORST]]


def _worst_picture(
    sample: Sample, query: LabelledImage, gallery: Mapping[str, LabelledImage]
) -> Picture:
    hits = [
        Tile(gallery[name].source, f"{cosine:.3f}", name + _mark(gallery[name], query))
        for name, cosine in sample["hits"]
    ]
    sheet = draw_sheet([Answer(Tile(query.source, "query", query.id), hits)])
    first = f"rank {sample['ranks'][0]:,}" if sample["ranks"] else f"not in {sample['depth']:,}"
    caption = f"{query.id}: first relevant picture {first}"
    return Picture(image=np.asarray(sheet), caption=caption)


def _mark(hit: LabelledImage, query: LabelledImage) -> str:
    return " (relevant)" if hit.label == query.label else ""


def _published(retrieval_set: RetrievalSet) -> list[Published]:
    """UNICOM's own numbers beside a run on the published split."""
    if retrieval_set.name != "sop-test":
        return []
    return [
        Published(metric="R@1", value=value, model=f"UNICOM {model}", source=UNICOM_SOP_TABLE)
        for model, value in UNICOM_SOP.items()
    ]
