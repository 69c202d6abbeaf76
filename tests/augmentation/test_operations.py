"""Each operation against Pillow's, or against a few lines written from its definition."""

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageOps

from archsearch.augmentation.apply import NUMPY, augment, warped
from archsearch.augmentation.crops import ten_crops
from archsearch.augmentation.maps import affine, after, draw_windows, grid_of, window
from archsearch.augmentation.operations import (
    brightened,
    contrasted,
    names_for,
    posterized,
    rotated,
    solarized,
)
from archsearch.augmentation.policy import Augmentation, Policy, colour_axes, policy_for
from archsearch.augmentation.transforms import Mix, Transforms, draw

LEVELS = np.arange(256.0)[None]
RNG = np.random.default_rng


def smooth(side=(24, 20)):
    """A picture without steps, in which a hundredth of a pixel is no matter."""
    small = RNG(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    resized = Image.fromarray(small).resize(side[::-1], Image.Resampling.BICUBIC)
    return np.asarray(resized)


def placed(image, maps, fill=(10, 20, 30)):
    planes = np.moveaxis(image[None], 3, 0)
    found = warped(NUMPY, planes, grid_of(maps, image.shape[:2]), fill)
    return np.moveaxis(found, 0, 3)[0]


def by_pillow(image, maps, fill=(10, 20, 30)):
    """The same map as Pillow has it: between pixels' corners, not from the image's centre."""
    height, width = image.shape[:2]
    matrix = maps[0]
    shift = np.array([width / 2, height / 2])
    move = matrix[:, 2] + shift - matrix[:, :2] @ shift
    data = (*matrix[0, :2], move[0], *matrix[1, :2], move[1])
    return np.asarray(
        Image.fromarray(image).transform(
            (width, height),
            Image.Transform.AFFINE,
            data,
            resample=Image.Resampling.BILINEAR,
            fillcolor=fill,
        )
    )


@pytest.mark.parametrize(
    "maps",
    [
        rotated(1, np.array([25.0])),
        affine(1, xy=0.3),
        affine(1, yx=-0.2),
        affine(1, x=3.5, y=-2.25),
        affine(1, xx=-1.0),
        after(affine(1, xx=0.5, yy=0.6), rotated(1, np.array([-10.0]))),
    ],
    ids=["rotate", "shear x", "shear y", "translate", "mirror", "zoom and rotate"],
)
def test_maps_place_pixels_where_pillow_does(maps):
    image = smooth()
    ours, theirs = placed(image, maps).astype(int), by_pillow(image, maps).astype(int)
    apart = np.abs(ours - theirs).max(axis=2)
    # Which of the pixels on the very edge is inside, rounding decides.
    assert np.quantile(apart, 0.95) <= 3
    assert (apart > 3).sum() <= 0.05 * apart.size


def test_rotation_turns_as_pillow_does():
    image = smooth()
    theirs = np.asarray(
        Image.fromarray(image).rotate(20, Image.Resampling.BILINEAR, fillcolor=(10, 20, 30))
    )
    apart = np.abs(placed(image, rotated(1, np.array([20.0]))).astype(int) - theirs).max(axis=2)
    assert np.quantile(apart, 0.95) <= 3


def test_a_window_is_scaled_as_pillow_resizes_a_crop():
    image = smooth((32, 32))
    share = np.array([[0.5, 0.75]])
    found = placed(image, window((32, 32), share, np.array([[1.0, 0.0]])), None)
    box = (16, 0, 32, 24)
    theirs = np.asarray(
        Image.fromarray(image).crop(box).resize((32, 32), Image.Resampling.BILINEAR)
    ).astype(int)
    # At its edge Pillow's crop knows nothing of the image beyond it.
    inner = (slice(1, -2), slice(2, -2))
    assert np.abs(found[inner] - theirs[inner]).max() <= 2


def test_bilinear_to_the_bit_by_its_definition():
    rng = RNG(3)
    image = rng.integers(0, 256, (7, 6, 2), dtype=np.uint8)
    maps = affine(1, xx=0.8, xy=0.31, yx=-0.2, yy=1.1, x=0.3, y=-0.7)
    grid = grid_of(maps, (7, 6))
    found = placed(image, maps, None)
    for row in range(7):
        for column in range(6):
            places = [int(grid.across[0, i, column] + grid.down[0, i, row]) for i in (0, 1)]
            x, y = (
                min(max(p, 0), 256 * (side - 1)) for p, side in zip(places, (6, 7), strict=True)
            )
            for channel in range(2):
                total = 0
                for dy in (0, 1):
                    for dx in (0, 1):
                        value = image[min(y // 256 + dy, 6), min(x // 256 + dx, 5), channel]
                        wide = x % 256 if dx else 256 - x % 256
                        total += int(value) * wide * (y % 256 if dy else 256 - y % 256)
                assert found[row, column, channel] == (total + 32768) // 65536


@pytest.mark.parametrize("factor", [0.3, 1.0, 1.7])
def test_tones_are_pillows(factor):
    grey = Image.fromarray(LEVELS.astype(np.uint8))
    ours = np.clip(brightened(LEVELS, np.array([factor]), 0.0), 0, 255)
    assert np.abs(ours - np.asarray(ImageEnhance.Brightness(grey).enhance(factor))).max() <= 1
    # Pillow turns about the picture's own mean, here 127.5, to the nearest whole number.
    ours = np.clip(contrasted(LEVELS, np.array([factor]), 128.0), 0, 255)
    assert np.abs(ours - np.asarray(ImageEnhance.Contrast(grey).enhance(factor))).max() <= 1


def test_posterize_and_solarize_are_pillows():
    grey = Image.fromarray(LEVELS.astype(np.uint8))
    for strength, bits in ((0.0, 8), (0.5, 6), (1.0, 4)):
        assert np.array_equal(
            posterized(LEVELS, strength), np.asarray(ImageOps.posterize(grey, bits))
        )
    for strength, threshold in ((0.0, 256), (0.25, 192), (1.0, 0)):
        assert np.array_equal(
            solarized(LEVELS, strength), np.asarray(ImageOps.solarize(grey, threshold))
        )


def still(n, **parts):
    return Transforms(np.zeros(n, int), np.zeros(n, int), np.zeros(n, bool), **parts)


def test_saturation_is_pillows():
    image = RNG(1).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    factors = (0.1, 0.5, 1.0, 1.9)
    found = augment(
        np.stack([image] * 4),
        Policy(0, mirror=False),
        still(4, saturation=np.rint(256 * np.array(factors)).astype(np.float32)),
    )
    for factor, ours in zip(factors, found.astype(int), strict=True):
        theirs = np.asarray(ImageEnhance.Color(Image.fromarray(image)).enhance(factor))
        assert np.abs(ours - theirs).max() <= 1


def test_colours_shift_along_the_axes_of_the_data():
    rng = RNG(0)
    base = rng.normal(120, 40, (2000, 1)) + rng.normal(0, [[5, 1, 1]], (2000, 3))
    images = np.clip(base, 0, 255).astype(np.uint8).reshape(20, 10, 10, 3)
    axes = colour_axes(images)
    lengths = np.linalg.norm(axes, axis=1)
    pixels = images.reshape(-1, 3) / 255
    assert lengths.sum() == pytest.approx(255 * pixels.var(axis=0, ddof=1).sum())
    first = axes[lengths.argmax()] / lengths.max()
    assert np.allclose(first, 1 / np.sqrt(3), atol=0.05)
    policy = policy_for(
        (10, 10, 3), mirror=True, asked=Augmentation(shift=0.0, pca_colour=0.1), images=images
    )
    even = np.full((500, 10, 10, 3), 120, np.uint8)
    offsets = augment(even, policy, draw(policy, (10, 10, 3), 500, rng))[:, 0, 0].astype(int) - 120
    wanted = 0.1**2 * axes.T @ axes  # the covariance of Σ α λ p
    assert np.allclose(np.cov(offsets, rowvar=False), wanted, atol=0.4 * wanted.max())


def test_a_square_is_painted_over():
    policy = Policy(0, mirror=False, mean=(7, 8, 9), hole_px=6)
    images = np.full((300, 12, 10, 3), 200, np.uint8)
    found = augment(images, policy, draw(policy, (12, 10, 3), 300, RNG(0)))
    hidden = (found == (7, 8, 9)).all(axis=3)
    assert np.all(hidden | (found == 200).all(axis=3))
    areas = hidden.sum(axis=(1, 2))
    assert areas.max() == 36
    assert 9 <= areas.min() < 36  # partly outside
    for one in hidden:  # a rectangle
        rows, columns = one.any(axis=1), one.any(axis=0)
        assert np.array_equal(one, rows[:, None] & columns)


def test_mixup_blends_and_cutmix_pastes_by_their_definitions():
    rng = RNG(0)
    images = rng.integers(0, 256, (6, 8, 10, 3), dtype=np.uint8)
    size = (8, 10, 3)
    for seed in range(20):
        policy = Policy(0, mirror=False, mixup=1.0)
        drawn = draw(policy, size, 6, RNG(seed))
        share, partner = drawn.share, drawn.mix.partner
        wanted = share * images + (1 - share) * images[partner].astype(float)
        assert np.abs(augment(images, policy, drawn) - wanted).max() <= 0.5
        policy = Policy(0, mirror=False, cutmix=1.0)
        drawn = draw(policy, size, 6, RNG(seed))
        top, left, bottom, right = drawn.mix.box.astype(int)
        wanted = images.copy()
        wanted[:, top:bottom, left:right] = images[drawn.mix.partner, top:bottom, left:right]
        assert np.array_equal(augment(images, policy, drawn), wanted)
        assert drawn.share == pytest.approx(1 - (bottom - top) * (right - left) / 80)


def test_both_mixes_take_turns_and_some_batches_are_left_alone():
    policy = Policy(0, mirror=False, mixup=1.0, cutmix=1.0, mixed=0.5)
    mixes = [draw(policy, (16, 16, 3), 2, RNG(seed)).mix for seed in range(400)]
    kinds = [
        "none" if mix.weight == 256 else "paste" if mix.weight == 0 else "blend" for mix in mixes
    ]
    counts = {kind: kinds.count(kind) for kind in ("none", "paste", "blend")}
    assert 160 < counts["none"] < 240
    assert min(counts["paste"], counts["blend"]) > 60
    assert all(mix.share == 1 for mix in mixes if mix.weight == 256)
    assert isinstance(mixes[0], Mix)


def test_windows_have_the_areas_and_aspects_asked_for():
    maps = draw_windows((60, 60), 4000, RNG(0), scale=(1.0, 1.0), area=0.3)
    wide, high = maps[:, 0, 0], maps[:, 1, 1]
    whole = (wide < 1) & (high < 1)
    areas, aspects = (wide * high)[whole], (wide / high)[whole]
    assert 0.3 <= areas.min() < 0.32
    assert 0.6 < np.median(wide * high) < 0.68
    assert 0.75 <= aspects.min() < 0.77
    assert 1.31 < aspects.max() <= 4 / 3 + 1e-9
    ends = 30 * wide + np.abs(maps[:, 0, 2])
    assert ends.max() <= 30 + 1e-9  # none leaves the image
    scaled = draw_windows((60, 60), 4000, RNG(0), scale=(8 / 7, 16 / 7), area=1.0)[:, 0, 0]
    assert 7 / 16 <= scaled.min() < 0.45
    assert 0.86 < scaled.max() <= 7 / 8


def test_digits_are_neither_mirrored_nor_inverted_nor_moved_far():
    asked = Augmentation(
        shift=0.25, scale=(2.0, 4.0), crop_area=0.08, pca_colour=0.1, randaugment=3, magnitude=30
    )
    policy = policy_for((32, 32, 1), mirror=False, mean=(40.0,), asked=asked)
    assert (policy.pad_px, policy.fill, policy.axes, policy.colours) == (2, None, (), False)
    assert policy.scale == (8 / 7, 8 / 7)
    assert policy.crop_area == pytest.approx(49 / 64)
    assert {"solarize", "saturation"} & set(names_for(policy)) == set()
    assert {"solarize", "saturation"} <= set(names_for(Policy(4, mirror=True, colours=True)))
    one = policy_for(
        (32, 32, 1), mirror=False, mean=(40.0,), asked=Augmentation(randaugment=1, magnitude=30)
    )
    grid = draw(one, (32, 32, 1), 500, RNG(0)).grid
    middle = grid.across[:, :, 16] + grid.down[:, :, 16]
    assert np.abs(middle / 256 - 16).max() < 5  # two pixels of shift, two of translation
    turned = grid.across[:, 1, -1] - grid.across[:, 1, 0]
    assert np.abs(turned / 256 / 31).max() <= np.sin(np.deg2rad(15)) + 1e-3


@pytest.mark.parametrize("name", ["randaugment", "mixup", "crop_area", "pca_colour", "cutout"])
def test_draws_follow_from_the_generator_alone(name):
    images = RNG(0).integers(0, 256, (9, 16, 16, 3), dtype=np.uint8)
    asked = Augmentation(**{name: {"randaugment": 2, "mixup": 0.4}.get(name, 0.5)})
    policy = policy_for((16, 16, 3), mirror=True, mean=(99, 98, 97), asked=asked, images=images)
    first, again, other = (
        augment(images, policy, draw(policy, (16, 16, 3), 9, RNG([7, 1, step])))
        for step in (5, 5, 6)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_ten_crops_are_corners_and_centre_and_their_mirror_images():
    image = smooth((32, 32))
    crops = list(ten_crops(np.stack([image, image[::-1]]), mirror=True))
    assert len(crops) == 10
    assert len(list(ten_crops(image[None], mirror=False))) == 5
    for view, mirrored in zip(crops[::2], crops[1::2], strict=True):
        assert view.shape == (2, 32, 32, 3)
        assert np.array_equal(mirrored, view[:, :, ::-1])
    for (left, top), view in zip(((0, 0), (4, 0), (0, 4), (4, 4), (2, 2)), crops[::2], strict=True):
        part = Image.fromarray(image).crop((left, top, left + 28, top + 28))
        theirs = np.asarray(part.resize((32, 32), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(view[0] - theirs)[1:-1, 1:-1].max() <= 2
