"""Pictures stand where the text says, batches equal single samples, and nothing is computed that
is not needed.
"""

from __future__ import annotations

import pytest
import torch
from tests.core.language.toy_models import SIDE, VOCABULARY, random_vlm, speckled
from tests.core.towers.toy_towers import difference, noise
from torch import Tensor, nn

from mlcd.core.language import VisionLanguageModel
from mlcd.core.language.config import IGNORE, IMAGE_TOKEN
from mlcd.core.language.tiles import Tiles, cut_images, cut_tiles
from mlcd.core.language.vlm import Sample

SIZES = ((70, 50), (20, 90), (3, 2), (40, 40))


def tiles_of(vlm: VisionLanguageModel, *sizes: tuple[int, int]) -> list[Tiles]:
    return [cut_tiles(speckled(*size), vlm.config) for size in sizes]


def count_calls(module: nn.Module) -> list[int]:
    """A list that grows by the rows of each call's first argument."""
    calls: list[int] = []
    module.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    return calls


def test_no_layer_of_the_tower_is_computed_that_is_not_looked_at() -> None:
    vlm = random_vlm()
    calls = [count_calls(block) for block in vlm.tower.blocks]
    norm = count_calls(vlm.tower.post_norm)
    vlm.encode(tiles_of(vlm, (70, 50)))
    assert [len(own) for own in calls] == [1, 1, 0]
    assert not norm


def test_another_layer_gives_other_tokens() -> None:
    tiles = tiles_of(random_vlm(), (70, 50))
    (second_last,) = random_vlm().encode(tiles)
    (last,) = random_vlm(hidden_layer=-1).encode(tiles)
    assert difference(second_last, last) > 0.01


def test_all_pictures_of_a_conversation_go_through_the_tower_at_once() -> None:
    vlm = random_vlm()
    tiles = tiles_of(vlm, *SIZES)
    calls = count_calls(vlm.tower.blocks[0])
    together = vlm.encode(tiles)
    assert calls == [sum(len(own.pixels) for own in tiles) * 17]
    for own, expected in zip(tiles, together, strict=True):
        (alone,) = vlm.encode([own])
        assert difference(alone, expected) < 1e-5
    assert vlm.encode([]) == []


def test_pictures_and_frames_mix() -> None:
    vlm = random_vlm()
    frames = cut_images([speckled(*size) for size in SIZES * 3], vlm.config)
    (alone,) = tiles_of(vlm, (70, 50))
    mixed = vlm.encode([frames[0], alone])
    assert [len(own) for own in mixed] == [2 * 3, len(vlm.encode([alone])[0])]


def test_pictures_replace_their_placeholders_in_order() -> None:
    vlm = random_vlm()
    first, second = noise(3, 64), noise(2, 64, seed=2)
    ids = torch.tensor([IMAGE_TOKEN, 5, 6, IMAGE_TOKEN, 7])
    labels = torch.tensor([IGNORE, 5, IGNORE, IGNORE, 7])
    words = vlm.language.get_input_embeddings()(torch.tensor([5, 6, 7]))
    merged, own_labels = vlm.insert_images(ids, labels, [first, second])
    assert torch.equal(merged, torch.cat([first, words[:2], second, words[2:]]))
    assert own_labels is not None
    assert own_labels.tolist() == [-100] * 3 + [5, -100] + [-100] * 2 + [7]
    assert torch.equal(vlm.embed(ids, [first, second]), merged)
    assert vlm.insert_images(ids, None, [first, second])[1] is None


@pytest.mark.parametrize(("places", "images"), [(2, 1), (0, 1), (1, 2), (1, 0)])
def test_a_wrong_number_of_pictures_is_told_with_both_counts(places: int, images: int) -> None:
    vlm = random_vlm()
    ids = torch.tensor([IMAGE_TOKEN] * places + [3])
    with pytest.raises(ValueError, match=f"{places} placeholders for {images} pictures"):
        vlm.embed(ids, [noise(3, 64)] * images)


@pytest.mark.parametrize(
    ("max_length", "kept"),
    [
        (1, [1]),  # inside the first words
        (2, [1, 2]),
        (3, [1, 2]),  # inside the first picture: it goes as a whole
        (4, [1, 2]),
        (5, [1, 2, -3, -3, -3]),
        (6, [1, 2, -3, -3, -3, 4]),
        (7, [1, 2, -3, -3, -3, 4]),  # inside the second picture
        (8, [1, 2, -3, -3, -3, 4, -2, -2]),
        (9, [1, 2, -3, -3, -3, 4, -2, -2, 5]),
        (99, [1, 2, -3, -3, -3, 4, -2, -2, 5]),
    ],
)
def test_no_picture_is_cut_in_two(max_length: int, kept: list[int]) -> None:
    """The expected row, -3 and -2 for a token of the pictures of so many."""
    vlm = random_vlm()
    ids = torch.tensor([1, 2, IMAGE_TOKEN, 4, IMAGE_TOKEN, 5])
    labels = torch.where(ids == IMAGE_TOKEN, IGNORE, ids)
    images = [torch.full((3, 64), -3.0), torch.full((2, 64), -2.0)]
    merged, own_labels = vlm.insert_images(ids, labels, images, max_length)
    assert own_labels is not None
    assert own_labels.tolist() == [IGNORE if token < 0 else token for token in kept]
    words = vlm.language.get_input_embeddings().weight
    expected = [torch.full((64,), float(token)) if token < 0 else words[token] for token in kept]
    assert torch.equal(merged, torch.stack(expected))


def some_samples(vlm: VisionLanguageModel, *, is_labelled: bool) -> list[Sample]:
    """Long and short, with two pictures, one and none."""
    generator = torch.Generator().manual_seed(0)
    samples = []
    for length, sizes in ((9, SIZES[:2]), (4, SIZES[2:3]), (6, ())):
        ids = torch.randint(0, VOCABULARY, (length,), generator=generator)
        ids[: 2 * len(sizes) : 2] = IMAGE_TOKEN
        labels = ids.clone()
        labels[: length // 2] = IGNORE
        samples.append(Sample(ids, labels if is_labelled else None, tiles_of(vlm, *sizes)))
    return samples


def test_a_batch_gives_each_sample_the_logits_that_it_has_alone() -> None:
    vlm = random_vlm()
    samples = some_samples(vlm, is_labelled=False)
    with torch.no_grad():
        together = vlm(samples)
        assert together.loss is None
        for row, sample in enumerate(samples):
            (alone,) = vlm([sample]).logits
            assert difference(together.logits[row, : len(alone)], alone) < 1e-4
            assert difference(together.hidden[row, : len(alone)], vlm([sample]).hidden[0]) < 1e-4


def loss_by_hand(vlm: VisionLanguageModel, samples: list[Sample]) -> tuple[float, int]:
    """Minus the log-probability of each labelled token after all that comes before it."""
    total, count = 0.0, 0
    for sample in samples:
        assert sample.labels is not None
        (logits,) = vlm([Sample(sample.ids, None, sample.tiles)]).logits
        features = iter(vlm.encode(sample.tiles))
        lengths = [len(next(features)) if own == IMAGE_TOKEN else 1 for own in sample.ids.tolist()]
        for place, label in enumerate(sample.labels.tolist()):
            if label == IGNORE or place == 0:
                continue
            before = sum(lengths[:place]) - 1
            total -= float(logits[before].log_softmax(0)[label])
            count += 1
    return total / count, count


def test_the_loss_is_the_mean_over_all_labelled_tokens_of_the_batch() -> None:
    vlm = random_vlm()
    samples = some_samples(vlm, is_labelled=True)
    with torch.no_grad():
        output = vlm(samples)
        expected, count = loss_by_hand(vlm, samples)
    assert output.logits is None
    assert output.num_labels == count == 10
    assert abs(float(output.loss) - expected) < 1e-4


def test_the_logits_come_with_the_loss_where_they_are_asked_for() -> None:
    vlm = random_vlm()
    samples = some_samples(vlm, is_labelled=True)
    with torch.no_grad():
        output = vlm(samples, with_logits=True)
        plain = vlm([sample._replace(labels=None) for sample in samples])
    assert difference(output.logits, plain.logits) < 1e-5
    shifted = nn.functional.cross_entropy(
        output.logits[:, :-1].flatten(0, 1), output.labels[:, 1:].flatten(), ignore_index=IGNORE
    )
    assert abs(float(shifted - output.loss)) < 1e-5


def test_a_batch_in_which_nothing_is_learned_has_a_loss_of_zero() -> None:
    vlm = random_vlm().train()
    sample = Sample(torch.tensor([1, 2]), torch.tensor([IGNORE, IGNORE]), [])
    output = vlm([sample])
    output.loss.backward()
    assert float(output.loss.detach()) == output.num_labels == 0


def test_labels_for_a_part_of_the_batch_are_refused() -> None:
    vlm = random_vlm()
    samples = some_samples(vlm, is_labelled=True)
    samples[1] = samples[1]._replace(labels=None)
    with pytest.raises(ValueError, match="2 of 3 samples have labels"):
        vlm(samples)


def test_samples_are_cut_to_the_length_of_the_config() -> None:
    vlm = random_vlm(max_length=12)
    ids = torch.arange(20)
    output = vlm([Sample(ids, ids, [])])
    assert output.hidden.shape[1] == 12
    assert output.num_labels == 11


def gradients(vlm: VisionLanguageModel) -> dict[str, Tensor | None]:
    return {name: value.grad for name, value in vlm.named_parameters()}


def test_a_frozen_tower_records_nothing_and_the_projector_learns() -> None:
    vlm = random_vlm().train()
    vlm.tower.requires_grad_(False)
    graphs: list[bool] = []
    vlm.tower.blocks[0].register_forward_hook(lambda *own: graphs.append(torch.is_grad_enabled()))
    vlm(some_samples(vlm, is_labelled=True)).loss.backward()
    assert graphs == [False]
    found = gradients(vlm)
    assert all(value is None for name, value in found.items() if name.startswith("tower."))
    assert all(float(found[name].abs().max()) > 0 for name in ("projector.0.weight", "newline"))


def test_a_trained_tower_learns_up_to_the_layer_that_is_looked_at() -> None:
    vlm = random_vlm().train()
    vlm(some_samples(vlm, is_labelled=True)).loss.backward()
    found = gradients(vlm)
    unused = {name for name, value in found.items() if value is None}
    assert unused == {
        name for name in found if name.startswith(("tower.blocks.2.", "tower.post_norm."))
    }
    assert all(float(value.abs().max()) > 0 for value in found.values() if value is not None)


def test_text_alone_does_the_work_of_a_picture_in_training_and_is_not_changed_by_it() -> None:
    """Else a process without pictures would leave the others waiting for its gradients."""
    vlm = random_vlm().train()
    text = some_samples(vlm, is_labelled=True)[2:]
    trained = vlm(text)
    trained.loss.backward()
    found = gradients(vlm)
    for name in ("tower.embedding.patch.weight", "projector.2.weight", "newline"):
        assert found[name] is not None
        assert float(found[name].abs().max()) == 0
    assert float(found["language.lm_head.weight"].abs().max()) > 0
    vlm.eval()
    assert difference(vlm(text).loss, trained.loss) < 1e-6


def test_half_precision_stays_near_single() -> None:
    vlm, half = random_vlm(), random_vlm().to(torch.bfloat16)
    samples = some_samples(vlm, is_labelled=False)
    with torch.no_grad():
        expected, found = vlm(samples), half(samples)
    assert found.logits.dtype == torch.bfloat16
    assert difference(found.logits.float(), expected.logits) < 0.1 * float(expected.logits.std())


def test_a_model_without_rows_has_no_newline() -> None:
    vlm = random_vlm(merge="flat")
    assert vlm.newline is None
    tiles = tiles_of(vlm, (70, 50))
    assert [len(own) for own in vlm.encode(tiles)] == [16 * len(tiles[0].pixels)]
    assert tiles[0].pixels.shape[-1] == SIDE
