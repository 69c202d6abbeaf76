import numpy as np

from archsearch.inspection import near
from archsearch.inspection.near import glance, near_pairs
from tests.data.conftest import picture


def pixels(seed: int) -> np.ndarray:
    return np.asarray(picture(seed))


def brighter(image: np.ndarray) -> np.ndarray:
    return np.clip(image.astype(int) + 4, 0, 255).astype(np.uint8)


LOOKS = [glance(pixels(0)), glance(pixels(1)), glance(brighter(pixels(0))), glance(pixels(2))]
APART = np.arange(4)


def test_a_picture_is_found_again_across_parts_only():
    assert near_pairs(LOOKS, np.array([0, 0, 1, 1]), APART) == [(0, 2)]
    assert near_pairs(LOOKS, np.array([0, 1, 0, 1]), APART) == []
    assert near_pairs(LOOKS, np.array([2, -1, -1, 2]), APART) == [(0, 2)]


def test_with_one_part_every_pair_is_looked_at():
    assert near_pairs(LOOKS, np.zeros(4, dtype=int), APART) == [(0, 2)]


def test_equal_images_are_no_near_pair():
    assert near_pairs(LOOKS, np.zeros(4, dtype=int), np.array([0, 1, 0, 3])) == []


def test_nothing_to_compare():
    assert near_pairs([], np.zeros(0, dtype=int), np.zeros(0, dtype=int)) == []
    flat = [glance(np.full((20, 20, 1), value, dtype=np.uint8)) for value in (7, 8)]
    assert near_pairs(flat, np.array([0, 1]), np.arange(2)) == []


def test_too_many_images_are_not_compared(monkeypatch):
    monkeypatch.setattr(near, "_MOST_COMPARISONS", 3)
    assert near_pairs(LOOKS, np.array([0, 0, 1, 1]), APART) is None
    assert near_pairs(LOOKS, np.array([0, 0, 0, 1]), APART) == []


def test_pairs_are_the_same_however_the_images_are_put_in_groups():
    looks = [glance(pixels(seed)) for seed in range(60)]
    looks += [glance(brighter(pixels(seed))) for seed in range(0, 60, 3)]
    parts = np.array([seed % 3 for seed in range(60)] + [(seed + 1) % 3 for seed in range(20)])
    found = near_pairs(looks, parts, np.arange(80))
    want = [(3 * k, 60 + k) for k in range(20) if parts[3 * k] != parts[60 + k]]
    assert found == sorted(want)
