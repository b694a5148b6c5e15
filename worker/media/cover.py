"""A cover is opened and written anew: nothing of the customer's file but its picture reaches the published track.

A phone's photo carries where and with which phone it was taken (EXIF); a picture may be cut short, lie on its side or
be in colours that players do not show.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from worker.codec.tags import COVER_BYTES
from worker.errors import MediaError

if TYPE_CHECKING:
    from PIL import Image

READ_BYTES = 32 << 20  # a photo as it comes; what is written is much smaller
_READ_FORMATS = ("JPEG", "PNG", "WEBP")
_MOST_PIXELS = 50_000_000  # a phone's largest; a progressive JPEG of so many takes 300 MB while it is decoded
_LONGEST_SIDE = 3000
_JPEG_QUALITIES = (92, 85, 75)


def clean_cover(path: Path) -> bytes:
    """Read a JPEG, PNG or WebP picture, and write it as a baseline JPEG or a PNG.

    It is upright, in sRGB on white, at most 3,000 pixels a side and 8 MB, and has no metadata. A PNG stays one where it
    fits; everything else becomes JPEG.

    Raises `MediaError` if it is no such picture, is damaged, cut short or too large.
    """
    size = path.stat().st_size
    if size > READ_BYTES:
        raise MediaError(f"metadata.cover: the file has {size >> 20} MB; {READ_BYTES >> 20} are allowed")
    # here, since few jobs have a cover
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of odd metadata, which is left out anyway
            with Image.open(path, formats=_READ_FORMATS) as picture:
                if picture.width * picture.height > _MOST_PIXELS:
                    raise Image.DecompressionBombError
                kind = picture.format
                picture.draft("RGB", (_LONGEST_SIDE, _LONGEST_SIDE))  # a large JPEG is decoded at a smaller size
                picture.load()
                drawn = _in_srgb(ImageOps.exif_transpose(picture))
            drawn.thumbnail((_LONGEST_SIDE, _LONGEST_SIDE), Image.Resampling.LANCZOS)
    except UnidentifiedImageError:
        raise MediaError("metadata.cover: it is not a JPEG, PNG or WebP picture") from None
    except Image.DecompressionBombError:
        raise MediaError(f"metadata.cover: the picture has more than {_MOST_PIXELS:,} pixels") from None
    except (OSError, ValueError, SyntaxError, EOFError) as error:
        raise MediaError(f"metadata.cover: the picture is damaged or cut short ({error})") from None
    return _written(drawn, as_png=kind == "PNG")


def _in_srgb(picture: Image.Image) -> Image.Image:
    """The picture's colours in sRGB, on white where it is transparent; without its metadata."""
    from PIL import Image, ImageCms

    profile = picture.info.get("icc_profile")
    opacity = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
    colours = picture if picture.mode in ("RGB", "CMYK", "L") else picture.convert("RGB")
    if isinstance(profile, bytes):
        with contextlib.suppress(ImageCms.PyCMSError):  # a profile that is broken, or of other colours
            given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
            shown = ImageCms.profileToProfile(colours, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
            colours = colours if shown is None else shown
    drawn = Image.new("RGB", picture.size, "white")
    drawn.paste(colours.convert("RGB"), mask=opacity)
    return drawn


def _written(picture: Image.Image, *, as_png: bool) -> bytes:
    def encoded(write: Callable[[io.BytesIO], None]) -> bytes:
        file = io.BytesIO()
        write(file)
        return file.getvalue()

    if as_png:
        data = encoded(lambda file: picture.save(file, "PNG"))
        if len(data) <= COVER_BYTES:
            return data
    for quality in _JPEG_QUALITIES:
        data = encoded(lambda file, quality=quality: picture.save(file, "JPEG", quality=quality))  # type: ignore[misc]
        if len(data) <= COVER_BYTES:
            return data
    raise MediaError(f"metadata.cover: the picture does not fit into {COVER_BYTES >> 20} MB")
