import numpy as np
import pytest

from archsearch.augmentation.apply import augment
from archsearch.augmentation.policy import NO_AUGMENTATION, Policy, policy_for
from archsearch.augmentation.transforms import draw


def augmented(images, policy, rng):
    return augment(images, policy, draw(policy, images.shape[1:], len(images), rng))


def batch(n: int = 64, size: tuple[int, int, int] = (12, 16, 3)) -> np.ndarray:
    return np.random.default_rng(1).integers(1, 256, size=(n, *size), dtype=np.uint8)


def test_photographs_move_and_turn_and_digits_only_move_a_little():
    photo = policy_for((32, 32, 3), mirror=True, mean=(125.3, 123.0, 113.9))
    assert photo == Policy(
        pad_px=4, mirror=True, fill=(125, 123, 114), mean=(125, 123, 114), colours=True
    )
    assert policy_for((32, 32, 1), mirror=False) == Policy(pad_px=2, mirror=False)


@pytest.mark.parametrize("fill", [None, (7, 8, 9)])
def test_every_image_is_a_crop_of_its_padded_self(fill):
    images = batch()
    before = images.copy()
    moved = augmented(images, Policy(3, mirror=False, fill=fill), np.random.default_rng(2))
    assert moved.shape == images.shape
    assert moved.dtype == np.uint8
    assert np.array_equal(images, before)
    pads = ((3, 3), (3, 3), (0, 0))
    places = set()
    for old, new in zip(images, moved, strict=True):
        if fill is None:
            padded = np.pad(old, pads, mode="edge")
        else:
            padded = np.stack(
                [np.pad(old[..., c], 3, constant_values=fill[c]) for c in range(3)], axis=2
            )
        found = [
            (y, x)
            for y in range(7)
            for x in range(7)
            if np.array_equal(padded[y : y + 12, x : x + 16], new)
        ]
        assert len(found) == 1
        places.add(found[0])
    assert len(places) > 20
    assert {0, 6} <= {y for y, _ in places}


def test_half_of_the_images_are_mirrored_and_none_otherwise_changed():
    images = batch(400, (5, 4, 3))
    turned = augmented(images, Policy(0, mirror=True), np.random.default_rng(3))
    same = (turned == images).all(axis=(1, 2, 3))
    mirrored = (turned == images[:, :, ::-1]).all(axis=(1, 2, 3))
    assert np.all(same ^ mirrored)
    assert 160 < mirrored.sum() < 240


def test_the_same_generator_state_gives_the_same_batch():
    policy = policy_for((12, 16, 3), mirror=True)
    first = augmented(batch(), policy, np.random.default_rng(5))
    assert np.array_equal(first, augmented(batch(), policy, np.random.default_rng(5)))
    assert not np.array_equal(first, augmented(batch(), policy, np.random.default_rng(6)))


def test_no_augmentation_copies():
    images = batch()
    same = augmented(images, NO_AUGMENTATION, np.random.default_rng(0))
    assert np.array_equal(same, images)
    assert not np.shares_memory(same, images)


def test_an_empty_batch_and_one_channel_work():
    policy = policy_for((32, 32, 1), mirror=True)
    for n in (0, 1):
        images = batch(n, (32, 32, 1))
        assert augmented(images, policy, np.random.default_rng(0)).shape == images.shape
