import io
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from archsearch.data.sources.decode import decode_file, fit_array, open_image, pillow, upright_size
from archsearch.data.sources.items import BadImageError

SIZE = (24, 32, 3)


def scene(width: int = 32, height: int = 24) -> Image.Image:
    """Four flat quarters: red, green, blue, white (left to right, top to bottom)."""
    pixels = np.zeros((height, width, 3), dtype=np.uint8)
    top, left = height // 2, width // 2
    pixels[:top, :left] = (255, 0, 0)
    pixels[:top, left:] = (0, 255, 0)
    pixels[top:, :left] = (0, 0, 255)
    pixels[top:, left:] = (255, 255, 255)
    return Image.fromarray(pixels)


def corners(pixels: np.ndarray) -> list[list[int]]:
    high, wide = pixels.shape[0] * 3 // 4, pixels.shape[1] * 3 // 4
    low, near = pixels.shape[0] // 4, pixels.shape[1] // 4
    return [pixels[y, x].tolist() for y in (low, high) for x in (near, wide)]


QUARTERS = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255]]


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "bmp", "gif", "tiff", "ppm"])
def test_every_format_gives_the_same_picture(tmp_path, suffix):
    path = tmp_path / f"a.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {"quality": 98, "subsampling": 0}
    scene().save(path, **options if suffix in {"jpg", "webp"} else {})
    pixels = decode_file(path, SIZE)
    assert pixels.dtype == np.uint8
    assert pixels.shape == SIZE
    assert np.abs(np.array(corners(pixels)) - QUARTERS).max() <= 6


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_rotation_is_undone(tmp_path, orientation):
    stored = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    image = scene(320, 240)
    if orientation in stored:
        image = image.transpose(stored[orientation])
    exif = Image.Exif()
    exif[0x0112] = orientation
    image.save(tmp_path / "a.jpg", exif=exif, quality=95)
    with open_image(tmp_path / "a.jpg") as opened:
        assert upright_size(opened) == (320, 240)
    pixels = decode_file(tmp_path / "a.jpg", SIZE)
    assert np.abs(np.array(corners(pixels)).astype(int) - QUARTERS).max() <= 8


def test_broken_exif_does_not_cost_the_picture(tmp_path):
    buffer = io.BytesIO()
    scene().save(buffer, "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\x7f")
    (tmp_path / "a.jpg").write_bytes(buffer.getvalue())
    with pillow():
        assert decode_file(tmp_path / "a.jpg", SIZE).shape == SIZE


def test_grey_palette_and_one_bit_become_colour_and_colour_becomes_grey(tmp_path):
    grey = scene().convert("L")
    grey.save(tmp_path / "grey.png")
    pixels = decode_file(tmp_path / "grey.png", SIZE)
    assert np.array_equal(pixels, np.repeat(np.asarray(grey)[..., None], 3, axis=2))
    scene().convert("P", palette=Image.Palette.ADAPTIVE).save(tmp_path / "palette.png")
    assert corners(decode_file(tmp_path / "palette.png", SIZE)) == QUARTERS
    scene().convert("1").save(tmp_path / "bits.png")
    assert decode_file(tmp_path / "bits.png", SIZE).max() == 255
    scene().save(tmp_path / "colour.png")
    one = decode_file(tmp_path / "colour.png", (24, 32, 1))
    assert np.array_equal(one[..., 0], np.asarray(grey))


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_is_laid_on_white(tmp_path, mode):
    image = Image.new("RGBA", (32, 24), (255, 0, 0, 0))
    image.paste((0, 0, 0, 255), (0, 0, 16, 24))
    if mode == "P":
        image = image.convert("P", palette=Image.Palette.ADAPTIVE)
    image.convert(mode).save(tmp_path / "a.png")
    pixels = decode_file(tmp_path / "a.png", SIZE)
    assert pixels[12, 4].tolist() == [0, 0, 0]
    assert pixels[12, 28].tolist() == [255, 255, 255]


def test_16_bit_grey_is_scaled_not_clipped(tmp_path):
    ramp = np.linspace(0, 65535, 32).astype(np.uint16)
    Image.fromarray(np.tile(ramp, (24, 1))).save(tmp_path / "a.png")
    pixels = decode_file(tmp_path / "a.png", (24, 32, 1))[0, :, 0]
    assert np.abs(pixels - ramp / 257).max() <= 0.5


def test_cmyk_becomes_rgb(tmp_path):
    scene().convert("CMYK").save(tmp_path / "a.jpg", quality=95)
    pixels = decode_file(tmp_path / "a.jpg", SIZE)
    assert np.abs(np.array(corners(pixels)).astype(int) - QUARTERS).max() <= 8


def test_an_animation_gives_its_first_frame(tmp_path):
    frames = [Image.new("RGB", (32, 24), colour) for colour in ("red", "green", "blue")]
    frames[0].save(tmp_path / "a.gif", save_all=True, append_images=frames[1:])
    assert decode_file(tmp_path / "a.gif", SIZE)[3, 3].tolist() == [255, 0, 0]


@pytest.mark.parametrize("size", [(64, 24), (32, 200), (8, 6), (1, 4000), (3000, 2000)])
def test_any_size_covers_and_is_cropped_at_the_centre(tmp_path, size):
    image = Image.new("RGB", size, "red")
    middle = (size[0] / 2, size[1] / 2)
    image.putpixel((int(middle[0]), int(middle[1])), (0, 0, 255))
    image.save(tmp_path / "a.jpg", quality=98)
    pixels = decode_file(tmp_path / "a.jpg", SIZE)
    assert pixels.shape == SIZE
    assert pixels[..., 0].mean() > 150


def test_the_picture_is_not_distorted(tmp_path):
    image = Image.new("RGB", (300, 100), "white")
    image.paste("black", (140, 40, 160, 60))
    image.save(tmp_path / "a.png")
    dark = decode_file(tmp_path / "a.png", (50, 50, 1))[..., 0] < 128
    assert np.flatnonzero(dark.any(axis=0)).tolist() == np.flatnonzero(dark.any(axis=1)).tolist()
    assert dark.sum() == 100


def damaged(kind: str, tmp_path: Path) -> Path:
    path = tmp_path / "a.jpg"
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    form = {"png": "PNG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP"}.get(kind, "JPEG")
    Image.fromarray(noise).save(buffer, form)
    data = buffer.getvalue()
    if kind in {"png", "gif", "webp", "bmp", "jpeg"}:
        path.write_bytes(data[: len(data) // 2])
    elif kind == "text":
        path.write_text("<html>404</html>")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "header":
        path.write_bytes(data[:20])
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "folder":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("jpeg", "truncated"), ("png", "truncated"), ("gif", ""), ("webp", ""), ("bmp", ""),
        ("text", "not an image"), ("empty", "empty file"), ("header", ""),
        ("pipe", "not a regular file"), ("folder", "not a regular file"),
        ("loop", "symbolic links"), ("missing", "no such file"),
    ],
)  # fmt: skip
def test_damaged_files_are_bad_images_with_a_reason(tmp_path, kind, reason):
    with pytest.raises(BadImageError) as caught:
        decode_file(damaged(kind, tmp_path), SIZE)
    assert reason in str(caught.value)
    assert str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("side", [9_500, 14_000, 60_000])
def test_a_decompression_bomb_is_refused_before_it_unpacks(tmp_path, side):
    """A PNG header that claims side × side pixels, and nothing behind it."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + body)
    with pillow(), pytest.raises(BadImageError, match="decompression bomb"):
        decode_file(tmp_path / "a.png", SIZE)


def test_floating_point_pixels_are_refused(tmp_path):
    Image.fromarray(np.ones((8, 8), dtype=np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(BadImageError, match="floating-point"):
        decode_file(tmp_path / "a.tiff", SIZE)


def test_a_png_named_jpg_is_read_by_its_content(tmp_path):
    scene().save(tmp_path / "a.jpg", "PNG")
    assert corners(decode_file(tmp_path / "a.jpg", SIZE)) == QUARTERS


def test_threads_decode_at_once(tmp_path):
    scene(640, 480).save(tmp_path / "a.jpg")
    want = decode_file(tmp_path / "a.jpg", SIZE)
    results: list[bool] = []

    def work() -> None:
        for _ in range(10):
            results.append(np.array_equal(decode_file(tmp_path / "a.jpg", SIZE), want))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [True] * 80


def test_arrays_are_fitted_as_files_are():
    grey = np.arange(64, dtype=np.uint8).reshape(8, 8, 1)
    assert fit_array(grey, (8, 8, 1)) is grey
    assert fit_array(grey, (16, 20, 3)).shape == (16, 20, 3)
    four = np.zeros((8, 8, 4), dtype=np.uint8)
    assert fit_array(four, (4, 4, 4)).shape == (4, 4, 4)
    assert fit_array(four, (4, 4, 3)).tolist() == [[[255, 255, 255]] * 4] * 4
    with pytest.raises(BadImageError, match="2 channels can't be turned into 3"):
        fit_array(np.zeros((8, 8, 2), dtype=np.uint8), (8, 8, 3))
    with pytest.raises(BadImageError, match="3 channels can't be turned into 5"):
        fit_array(np.zeros((8, 8, 3), dtype=np.uint8), (8, 8, 5))


def test_large_images_are_decoded_one_at_a_time(tmp_path):
    Image.new("1", (6000, 5000)).save(tmp_path / "large.png")
    scene().save(tmp_path / "small.png")
    held: list[bool] = []

    class Watch:
        def __enter__(self) -> None:
            held.append(True)

        def __exit__(self, *_: object) -> None:
            held.append(False)

    decode_file(tmp_path / "small.png", SIZE, large=Watch())
    assert held == []
    decode_file(tmp_path / "large.png", SIZE, large=Watch())
    assert held == [True, False]
