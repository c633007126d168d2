"""The published sizes have exactly the published parameter counts."""

from __future__ import annotations

import pytest
import torch

from mlcd.core.towers import TowerConfig, VisionTower, presets
from mlcd.core.towers.catalogue import embedded_towers, published_sizes

# (deepglint/unicom, the networks and converters; counted from their tensors)
COUNTS = {
    "unicom_b32": 116_723_200,
    "unicom_b16": 201_967_872,
    "unicom_l14": 572_328_448,
    "unicom_l14_336": 908_200_448,
    "mlcd_b32_224": 87_456_000,
    "mlcd_l14_336": 303_507_456,
    "mlcd_bigg14_224": 1_842_349_748,
    "mlcd_bigg14_336": 1_842_349_748,
    "mlcd_bigg14_448": 1_842_349_748,
}
# without the head; and the head's first matrix
UNICOM_PARTS = {
    "unicom_b32": (87_426_048, 28_901_376),
    "unicom_b16": (85_769_472, 115_605_504),
    "unicom_l14": (303_102_976, 268_435_456),
    "unicom_l14_336": (303_430_656, 603_979_776),
}


def build(config: TowerConfig) -> VisionTower:
    with torch.device("meta"):
        return VisionTower(config)


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize("name", COUNTS)
def test_a_published_size_has_its_parameters(name: str) -> None:
    config = published_sizes()[name]
    assert count(build(config)) == COUNTS[name]
    assert config.num_parameters == COUNTS[name]


@pytest.mark.parametrize("name", UNICOM_PARTS)
def test_the_parts_of_a_unicom_tower_have_theirs(name: str) -> None:
    tower = build(published_sizes()[name])
    assert tower.head is not None
    parts = count(tower) - count(tower.head), tower.head.reduce.weight.numel()
    assert parts == UNICOM_PARTS[name]


@pytest.mark.parametrize("name", set(published_sizes()) - set(COUNTS))
def test_the_formula_counts_every_other_size_too(name: str) -> None:
    config = published_sizes()[name]
    assert count(build(config)) == config.num_parameters


def test_embeddings_have_the_published_lengths() -> None:
    lengths = {name: config.output_dim for name, config in published_sizes().items()}
    assert [lengths[name] for name in COUNTS] == [512, 768, 768, 768, 768, 1024, 1664, 1664, 1664]


def test_pictures_are_prepared_at_the_size_of_the_tower() -> None:
    for config in published_sizes().values():
        assert config.preprocess.size == config.image_size


def test_the_catalogue_lists_every_preset_and_every_embedded_tower() -> None:
    assert published_sizes()["rice_l14_560"] == presets.rice_l14_560()
    assert published_sizes()["rice_l14_560"].image_size == 560
    embedded = embedded_towers()
    assert embedded["things-tiny"].form == "rope2d"
