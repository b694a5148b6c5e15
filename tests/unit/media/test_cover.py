"""Covers are opened and written anew: metadata stays out, and what is no picture is refused."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from audio_files import JPEG
from PIL import Image, ImageCms

from worker.codec.tags import COVER_BYTES
from worker.errors import MediaError
from worker.media.cover import READ_BYTES, clean_cover

RED, BLUE = (220, 30, 30), (30, 30, 220)


def two_halves(width: int = 80, height: int = 40) -> Image.Image:
    """Red on the left, blue on the right."""
    picture = Image.new("RGB", (width, height), RED)
    picture.paste(BLUE, (width // 2, 0, width, height))
    return picture


def written(folder: Path, picture: Image.Image, kind: str, **options: object) -> Path:
    path = folder / "cover"
    picture.save(path, kind, **options)
    return path


def cleaned(path: Path) -> Image.Image:
    picture = Image.open(io.BytesIO(clean_cover(path)))
    picture.load()
    return picture


def near(found: object, wanted: tuple[int, int, int]) -> bool:
    return bool(np.abs(np.subtract(found, wanted)).max() <= 12)  # type: ignore[call-overload]


def with_exif(orientation: int = 1) -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F] = "Some Phone"
    exif.get_ifd(0x8825)[1] = "N"
    return exif


@pytest.mark.parametrize(
    ("kind", "options", "becomes"),
    [
        ("JPEG", {"quality": 95}, "JPEG"),
        ("JPEG", {"progressive": True}, "JPEG"),
        ("PNG", {}, "PNG"),
        ("WEBP", {"lossless": True}, "JPEG"),
    ],
)
def test_a_picture_stays_the_same_picture(tmp_path: Path, kind: str, options: dict[str, object], becomes: str) -> None:
    picture = cleaned(written(tmp_path, two_halves(), kind, **options))
    assert (picture.format, picture.mode, picture.size) == (becomes, "RGB", (80, 40))
    assert "progressive" not in picture.info
    assert near(picture.getpixel((10, 20)), RED)
    assert near(picture.getpixel((70, 20)), BLUE)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_no_metadata_reaches_the_track(tmp_path: Path, kind: str) -> None:
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = clean_cover(written(tmp_path, two_halves(), kind, exif=with_exif(), icc_profile=profile, comment=b"home"))
    assert not re.search(rb"Exif|eXIf|Some Phone|ICC_PROFILE|iCCP|home|tEXt|iTXt|http://ns.adobe", data)
    assert not Image.open(io.BytesIO(data)).getexif()


@pytest.mark.parametrize(("orientation", "left"), [(3, BLUE), (6, None), (8, None)])
def test_a_picture_on_its_side_is_turned_upright(
    tmp_path: Path, orientation: int, left: tuple[int, int, int] | None
) -> None:
    picture = cleaned(written(tmp_path, two_halves(), "JPEG", quality=95, exif=with_exif(orientation)))
    if left is not None:
        assert near(picture.getpixel((5, 20)), left)
    else:
        assert picture.size == (40, 80)
        top = RED if orientation == 6 else BLUE
        assert near(picture.getpixel((20, 5)), top)


@pytest.mark.parametrize("mode", ["CMYK", "L", "P", "LA", "RGBA", "1", "I;16"])
def test_other_colours_become_rgb(tmp_path: Path, mode: str) -> None:
    if mode == "I;16":
        picture = Image.fromarray(np.full((40, 80), 40_000, np.uint16))
    else:
        picture = two_halves().convert("RGBA").convert("LA") if mode == "LA" else two_halves().convert(mode)
    path = written(tmp_path, picture, "JPEG" if mode in ("CMYK", "L") else "PNG")
    found = cleaned(path)
    assert found.mode == "RGB"
    if mode in ("CMYK", "P", "RGBA"):
        assert found.getpixel((10, 20))[0] > 180 > 90 > found.getpixel((70, 20))[0]  # type: ignore[index]


def test_what_is_transparent_is_white(tmp_path: Path) -> None:
    picture = two_halves().convert("RGBA")
    picture.paste((0, 0, 0, 0), (0, 0, 40, 40))
    found = cleaned(written(tmp_path, picture, "PNG"))
    assert found.getpixel((10, 20)) == (255, 255, 255)
    assert near(found.getpixel((70, 20)), BLUE)


@pytest.mark.further
def test_a_large_picture_is_made_smaller(tmp_path: Path) -> None:
    for kind in ("JPEG", "PNG"):
        assert cleaned(written(tmp_path, two_halves(6200, 3100), kind)).size == (3000, 1500)


def test_a_png_too_large_for_a_tag_becomes_a_jpeg(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (2000, 2000, 3), np.uint8)
    data = clean_cover(written(tmp_path, Image.fromarray(noise), "PNG"))
    assert data.startswith(b"\xff\xd8\xff")
    assert len(data) <= COVER_BYTES


def test_the_same_picture_gives_the_same_bytes(tmp_path: Path) -> None:
    path = written(tmp_path, two_halves(), "JPEG")
    assert clean_cover(path) == clean_cover(path)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"<!DOCTYPE html><p>404", "not a JPEG"),
        (b"", "not a JPEG"),
        (b"GIF89a" + bytes(100), "not a JPEG"),
        (JPEG, "not a JPEG"),
        (b"\xff\xd8\xff<!DOCTYPE html><p>no such file", "damaged or cut short|not a JPEG"),
        (b"RIFF\x24\0\0\0WAVEfmt " + bytes(40), "not a JPEG"),
    ],
)
def test_what_is_no_picture_is_refused(tmp_path: Path, data: bytes, says: str) -> None:
    path = tmp_path / "cover.jpg"
    path.write_bytes(data)
    with pytest.raises(MediaError, match=f"metadata.cover: .*({says})"):
        clean_cover(path)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_picture_that_is_cut_short_is_refused(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (300, 300, 3), np.uint8)
    path = written(tmp_path, Image.fromarray(noise), kind)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(MediaError, match="damaged or cut short"):
        clean_cover(path)


def test_a_file_or_picture_beyond_the_limits_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "cover.png"
    with path.open("wb") as file:
        file.truncate(READ_BYTES + 1)
    with pytest.raises(MediaError, match="MB"):
        clean_cover(path)
    for side in (8_000, 20_000):
        bomb = written(tmp_path, Image.new("1", (side, side)), "PNG")
        assert bomb.stat().st_size < 100_000
        with pytest.raises(MediaError, match="more than 50,000,000 pixels"):
            clean_cover(bomb)
