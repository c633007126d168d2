"""`read_image` gives upright RGB uint8 for every kind of picture, or says why it cannot."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
from PIL import ImageOps

from mlcd.core.images import MAX_PIXELS, Image, ImageError, read_image

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")


def picture(height: int = 24, width: int = 32, seed: int = 0) -> Image:
    """Smooth colours with some noise: compresses well and has no symmetry."""
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:height, :width]
    smooth = np.stack([columns * 7, rows * 9, (rows + columns) * 4], axis=-1) % 200
    return (smooth + rng.integers(0, 20, (height, width, 3))).astype(np.uint8)


def encoded(image: PIL.Image.Image | Image, kind: str = "PNG", **options: Any) -> bytes:
    if isinstance(image, np.ndarray):
        image = PIL.Image.fromarray(image)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(height: int, width: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG written by hand, for the kinds that Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + (chunk(b"tRNS", extra) if extra else b"")
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


# --- sources and formats ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_is_read_as_pillow_reads_it(kind: str, tmp_path: Path) -> None:
    data = encoded(picture(), kind)
    (tmp_path / "picture").write_bytes(data)
    image = read_image(tmp_path / "picture")
    assert image.dtype == np.uint8
    assert image.shape == (24, 32, 3)
    assert np.array_equal(image, np.asarray(PIL.Image.open(io.BytesIO(data)).convert("RGB")))


def test_every_kind_of_source_gives_the_same_picture(tmp_path: Path) -> None:
    expected = picture()
    data = encoded(expected)
    path = tmp_path / "ä\nodd name.png"
    path.write_bytes(data)
    with path.open("rb") as file:
        from_file = read_image(file)
    sources = [path, str(path), data, io.BytesIO(data), PIL.Image.open(path), expected]
    assert np.array_equal(from_file, expected)
    assert all(np.array_equal(read_image(source), expected) for source in sources)


def test_an_open_file_is_read_from_where_it_stands() -> None:
    file = io.BytesIO(b"a header of somebody's own" + encoded(picture()))
    file.seek(26)
    assert np.array_equal(read_image(file), picture())


def test_a_picture_read_may_be_drawn_on() -> None:
    image = read_image(encoded(picture(), "JPEG"))
    image[:] = 0  # raises when the array only borrows Pillow's memory


def test_an_array_is_passed_through_without_a_copy() -> None:
    image = picture()
    assert read_image(image) is image


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((4, 4, 3), np.float32),
        np.zeros((4, 4), np.uint8),
        np.zeros((4, 4, 4), np.uint8),
        np.zeros((3, 4, 4), np.uint8),
        np.zeros((0, 4, 3), np.uint8),
    ],
)
def test_an_array_that_is_no_rgb_uint8_picture_is_refused(array: Any) -> None:
    with pytest.raises(ImageError, match=r"expected an RGB array of uint8 \(H, W, 3\)"):
        read_image(array)


@pytest.mark.parametrize("source", [None, 3, ["a.png"], io.StringIO("text")])
def test_what_is_no_source_at_all_is_refused(source: Any) -> None:
    with pytest.raises(ImageError, match="expected"):
        read_image(source)


# --- orientation -----------------------------------------------------------------------------


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_applied(orientation: int, kind: str) -> None:
    exif = PIL.Image.Exif()
    exif[0x0112] = orientation
    options = {"compression": "tiff_lzw"} if kind == "TIFF" and orientation % 2 else {}
    data = encoded(picture(), kind, exif=exif.tobytes(), **options)
    expected = ImageOps.exif_transpose(PIL.Image.open(io.BytesIO(data))).convert("RGB")
    assert np.array_equal(read_image(data), np.asarray(expected))


def test_each_orientation_gives_another_picture() -> None:
    seen = set()
    for orientation in range(1, 9):
        exif = PIL.Image.Exif()
        exif[0x0112] = orientation
        seen.add(read_image(encoded(picture(16, 16), exif=exif.tobytes())).tobytes())
    assert len(seen) == 8


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_a_damaged_exif_block_does_not_hide_the_picture() -> None:
    data = encoded(picture(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12\0\x03broken")
    assert read_image(data).shape == (24, 32, 3)
    assert read_image(encoded(picture(), "JPEG", exif=b"Exif\0\0nothing")).shape == (24, 32, 3)


# --- transparency and palettes ---------------------------------------------------------------


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    grey = PIL.Image.new("L", (3, 1), 100)
    alpha = PIL.Image.fromarray(np.array([[0, 128, 255]], np.uint8))
    merged = PIL.Image.merge(mode, [grey] * (len(mode) - 1) + [alpha])
    expected = np.rint(255 + (100 - 255) * np.array([0, 128, 255]) / 255)  # 255, 177, 100
    assert np.array_equal(read_image(encoded(merged))[0, :, 0], expected)


def test_a_palette_is_looked_up_and_its_transparent_entries_become_white() -> None:
    indices = PIL.Image.fromarray(np.array([[0, 1, 2]], np.uint8))
    indices.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    plain = [[10, 20, 30], [40, 50, 60], [70, 80, 90]]
    assert read_image(encoded(indices))[0].tolist() == plain
    one = read_image(encoded(indices, transparency=1))[0].tolist()
    assert one == [plain[0], [255, 255, 255], plain[2]]
    each = read_image(encoded(indices, transparency=bytes([0, 255, 51])))[0].tolist()
    assert each == [[255, 255, 255], plain[1], [218, 220, 222]]  # 255 + (p - 255) * 51 / 255
    assert read_image(encoded(indices, "GIF", transparency=2))[0, 2].tolist() == [255, 255, 255]


def test_a_transparent_colour_of_a_picture_without_palette_becomes_white() -> None:
    grey = PIL.Image.fromarray(np.array([[5, 6]], np.uint8))
    assert read_image(encoded(grey, transparency=5))[0].tolist() == [[255] * 3, [6] * 3]
    rgb = PIL.Image.fromarray(np.array([[[1, 2, 3], [1, 2, 4]]], np.uint8))
    assert read_image(encoded(rgb, transparency=(1, 2, 3)))[0].tolist() == [[255] * 3, [1, 2, 4]]


def test_grey_and_bilevel_pictures_become_rgb() -> None:
    grey = PIL.Image.fromarray(np.array([[0, 77, 255]], np.uint8))
    assert read_image(encoded(grey))[0].tolist() == [[0] * 3, [77] * 3, [255] * 3]
    assert read_image(encoded(grey.convert("1", dither=0)))[0].tolist()[::2] == [[0] * 3, [255] * 3]


# --- CMYK ------------------------------------------------------------------------------------


def without_adobe_marker(jpeg: bytes) -> bytes:
    start = jpeg.index(b"\xff\xee")
    length = int.from_bytes(jpeg[start + 2 : start + 4], "big")
    return jpeg[:start] + jpeg[start + 2 + length :]


def test_cmyk_is_read_inverted_when_adobe_wrote_it_and_plain_otherwise() -> None:
    inks = PIL.Image.new("CMYK", (16, 16), (0, 255, 255, 0))  # red
    adobe = encoded(inks, "JPEG", quality=100)
    assert np.abs(read_image(adobe).astype(int) - [255, 0, 0]).max() <= 3
    assert np.abs(read_image(encoded(inks, "TIFF")).astype(int) - [255, 0, 0]).max() == 0
    # The same numbers without Adobe's mark are plain inks: 255, 0, 0, 255 is cyan under full black.
    plain = without_adobe_marker(adobe)
    assert b"Adobe" not in plain
    assert read_image(plain).max() <= 3
    white = encoded(PIL.Image.new("CMYK", (16, 16), (255, 255, 255, 255)), "JPEG", quality=100)
    assert read_image(without_adobe_marker(white)).min() >= 252


# --- more than 8 bits ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_grey_is_scaled_not_clipped(kind: str) -> None:
    values = np.array([[0, 256, 257, 32768, 65280, 65535]], np.uint16)
    image = read_image(encoded(PIL.Image.fromarray(values), kind))
    assert image[0, :, 0].tolist() == [0, 1, 1, 128, 254, 255]
    assert (image[..., 0] == image[..., 2]).all()


def test_16_bit_grey_with_a_transparent_value_is_white_there() -> None:
    rows = b"\0" + struct.pack(">3H", 1000, 1001, 65535)
    image = read_image(png(1, 3, 16, 0, rows, extra=struct.pack(">H", 1000)))
    assert image[0, :, 0].tolist() == [255, 4, 255]


@pytest.mark.parametrize("alpha", [False, True])
def test_16_bit_colour_is_scaled_not_clipped(alpha: bool) -> None:
    values = [0, 32768, 65535] + ([65535] if alpha else [])
    rows = b"\0" + struct.pack(f">{len(values)}H", *values)
    image = read_image(png(1, 1, 16, 6 if alpha else 2, rows))
    assert image[0, 0].tolist() == [0, 128, 255]


def test_16_bit_colour_tiff_is_scaled_not_clipped() -> None:
    def entry(tag: int, kind: int, count: int, value: int) -> bytes:
        packed = struct.pack("<H", value) + b"\0\0" if kind == 3 else struct.pack("<I", value)
        return struct.pack("<HHI", tag, kind, count) + packed

    bits_at, strip_at = 200, 210
    entries = [
        entry(256, 3, 1, 1), entry(257, 3, 1, 1), entry(258, 3, 3, bits_at), entry(259, 3, 1, 1),
        entry(262, 3, 1, 2), entry(273, 4, 1, strip_at), entry(277, 3, 1, 3), entry(278, 3, 1, 1),
        entry(279, 4, 1, 6),
    ]  # fmt: skip
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(entries)) + b"".join(entries)
    data = head.ljust(bits_at, b"\0") + struct.pack("<3H", 16, 16, 16)
    data = data.ljust(strip_at, b"\0") + struct.pack("<3H", 0, 32768, 65535)
    assert read_image(data)[0, 0].tolist() == [0, 128, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 128, 255]),  # fractions
        ([0.0, 100.4, 255.0], [0, 100, 255]),  # bytes as floats
        ([0.0, 32768.0, 65535.0], [0, 128, 255]),  # 16 bits as floats
        ([-1.0, 0.0, 1.0], [0, 128, 255]),  # no usual range: stretched
        ([7e5, 7e5, 7e5], [0, 0, 0]),
        ([np.nan, 1.0, np.inf], [0, 255, 0]),
        ([-3e38, 0.0, 3e38], [0, 128, 255]),  # the range itself overflows float32
        ([np.nan, np.nan, np.nan], [0, 0, 0]),
    ],
)
def test_float_pictures_are_scaled_by_the_range_they_use(
    values: list[float], expected: list[int]
) -> None:
    data = encoded(PIL.Image.fromarray(np.array([values], np.float32)), "TIFF")
    assert read_image(data)[0, :, 0].tolist() == expected


def test_32_bit_whole_numbers_are_scaled_by_the_range_they_use() -> None:
    for values, expected in [
        ([0, 100, 255], [0, 100, 255]),
        ([0, 257, 65535], [0, 1, 255]),
        ([-(2**31), 0, 2**31 - 1], [0, 128, 255]),
    ]:
        data = encoded(PIL.Image.fromarray(np.array([values], np.int32)), "TIFF")
        assert read_image(data)[0, :, 0].tolist() == expected


# --- animations and stacks -------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_taken(kind: str) -> None:
    frames = [PIL.Image.new("RGB", (8, 8), colour) for colour in ("red", "lime", "blue")]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert read_image(data)[0, 0].tolist() == [255, 0, 0]


# --- what is refused -------------------------------------------------------------------------


def test_a_missing_file_a_folder_and_an_empty_file_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    with pytest.raises(ImageError, match=r"none\.jpg: no such file"):
        read_image(tmp_path / "none.jpg")
    with pytest.raises(ImageError, match="a folder, not a picture"):
        read_image(tmp_path)
    with pytest.raises(ImageError, match=r"empty\.jpg: empty \(0 bytes\)"):
        read_image(tmp_path / "empty.jpg")
    with pytest.raises(ImageError, match=r"empty \(0 bytes\)"):
        read_image(b"")


@pytest.mark.parametrize(
    "data",
    [b"just text\n" * 100, b"\0" * 5000, b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"],
)
def test_what_is_no_picture_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "picture.jpg"
    path.write_bytes(data)
    with pytest.raises(ImageError, match=r"picture\.jpg: not a JPEG, PNG, WebP, BMP, TIFF or GIF"):
        read_image(path)


@pytest.mark.parametrize("kind", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_a_picture_cut_short_is_refused(kind: str, share: float) -> None:
    data = encoded(picture(120, 160), kind)
    with pytest.raises(ImageError):
        read_image(data[: int(share * len(data))])


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's remarks on damaged TIFF
@pytest.mark.parametrize("kind", FORMATS)
def test_damaged_bytes_give_a_picture_or_an_image_error_and_nothing_else(kind: str) -> None:
    rng = np.random.default_rng(1)
    data = np.frombuffer(encoded(picture(40, 40), kind), np.uint8)
    for _ in range(150):
        damaged = data.copy()
        places = rng.integers(0, min(len(data), int(rng.choice([40, 400, len(data)]))), 4)
        damaged[places] = rng.integers(0, 256, 4)
        try:
            image = read_image(damaged.tobytes(), max_pixels=1_000_000)
        except ImageError:
            continue
        assert image.dtype == np.uint8
        assert image.shape[2] == 3


def test_too_many_pixels_are_refused_from_the_header_alone() -> None:
    """A header that promises much, over no data at all: decoding would fail with another error."""
    with pytest.raises(ImageError, match="10001 x 8000 is more than the limit of 80,000,000"):
        read_image(png(8000, 10001, 8, 2, b""), max_pixels=80_000_000)
    with pytest.raises(ImageError, match="limit of 767 pixels"):
        read_image(PIL.Image.fromarray(picture()), max_pixels=767)
    assert read_image(encoded(picture()), max_pixels=768).shape == (24, 32, 3)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("side", [9460, 100_000])
def test_decompression_bombs_are_refused(side: int) -> None:
    assert side**2 > MAX_PIXELS
    with pytest.raises(ImageError, match=r"more pixels|more than the limit"):
        read_image(png(side, side, 1, 0, b""))


def test_a_colour_mode_without_a_way_to_rgb_is_refused_by_name() -> None:
    with pytest.raises(ImageError, match="colour mode La has no RGB"):
        read_image(PIL.Image.new("La", (4, 4)))
