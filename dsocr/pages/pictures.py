"""The pages of a picture file: every page of a TIFF, every frame of an animation, upright and in RGB."""

from __future__ import annotations

import math
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO

from PIL import ExifTags, Image, ImageOps
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from dsocr.errors import InputError
from dsocr.pages.page import DEFAULT_MAX_PIXELS, Page, check_size

# Only these decoders ever see a stranger's bytes. They are called by name, not through Image.open, whose size limit
# is one number for the whole process, and which takes the depth map of a phone's JPEG for a second page.
DECODERS: dict[str, type[ImageFile]] = {
    "PNG": PngImageFile,
    "JPEG": JpegImageFile,
    "WebP": WebPImageFile,
    "TIFF": TiffImageFile,
    "BMP": BmpImageFile,
    "GIF": GifImageFile,
}
_FULL_SCALES = (1, 255, 65535)  # what white is in greys of unknown depth, smallest that fits
_LYING = (5, 6, 7, 8)  # orientations that swap a picture's sides
_PILLOWS_LIMIT = threading.RLock()


class PictureFile:
    """An open picture file; close it after use."""

    def __init__(self, file: BinaryIO, source: str, format: str, *, max_pixels: int) -> None:
        """Reads the header by the decoder of that format; InputError if it is damaged or an animation too large."""
        self._source, self._max_pixels = source, max_pixels
        decoder = _heic_decoder() if format == "HEIC" else DECODERS[format]
        with _decoding(max_pixels):
            self._picture = decoder(file)
        # To reach a frame of an animation, those before it are drawn, on a canvas of one size. The pages of a TIFF or
        # HEIC are found without drawing, and each has a size of its own.
        if format not in ("TIFF", "HEIC"):
            check_size(*self._picture.size, max_pixels)
        with _decoding(max_pixels):
            self._count: int = _count_frames(self._picture)

    def __len__(self) -> int:
        """How many pages or frames there are."""
        return self._count

    def read(self, number: int) -> Page:
        """Decodes a page, counted from 1; InputError if it is damaged, cut short, too small or too large."""
        with _decoding(self._max_pixels):
            self._picture.seek(number - 1)
        return read_picture(self._picture, self._source, number, max_pixels=self._max_pixels)

    def measure(self, number: int) -> tuple[int, int]:
        """(width, height) in pixels of a page, counted from 1, upright but not decoded; InputError if it is damaged."""
        with _decoding(self._max_pixels):
            self._picture.seek(number - 1)
            width, height = self._picture.size
            # A PNG would be decoded by its own way to its EXIF block; this one takes what the header had.
            lying = Image.Image.getexif(self._picture).get(ExifTags.Base.Orientation, 1) in _LYING
        # A TIFF's size is that of the upright page already.
        swapped = lying and not isinstance(self._picture, TiffImageFile)
        return (height, width) if swapped else (width, height)

    def close(self) -> None:
        """Forgets the pixels; the file itself belongs to who opened it."""
        self._picture.close()


def _count_frames(picture: ImageFile) -> int:
    """How many pages or frames there are; of a TIFF that is cut short, those before the cut and the one it is in."""
    try:
        return getattr(picture, "n_frames", 1)
    except Exception:
        if not isinstance(picture, TiffImageFile):
            raise
    count = 1
    with suppress(EOFError):
        while _seeks(picture, count):
            count += 1
        count += 1
    return count


def _seeks(picture: ImageFile, frame: int) -> bool:
    """Whether a frame is sound as far as its header goes; EOFError where there is none."""
    try:
        picture.seek(frame)
    except EOFError:
        raise
    except Exception:
        return False
    return True


def read_picture(picture: Image.Image, source: str, number: int, *, max_pixels: int) -> Page:
    """An open picture as it stands, left unchanged, as a Page; InputError if it is damaged, too small or too large."""
    check_size(*picture.size, max_pixels)
    with _decoding(max_pixels):
        picture.load()
        return Page(source, number, _to_rgb(_turn_upright(picture)), _resolution(picture))


def _heic_decoder() -> type[ImageFile]:
    """The decoder of an optional package; InputError tells how to get it."""
    try:
        from pillow_heif import HeifImageFile
    except ImportError as error:
        raise InputError("HEIC pictures need one more package: pip install 'dsocr[heic]'") from error
    decoder: type[ImageFile] = HeifImageFile
    return decoder


@contextmanager
def _decoding(max_pixels: int) -> Iterator[None]:
    """Whatever a decoder raises means one thing: these bytes are no sound picture. What it said is not repeated."""
    with _raise_pillows_limit(max_pixels):
        try:
            yield
        except MemoryError as error:
            raise InputError("the picture needs more memory than there is") from error
        except Exception as error:
            raise InputError("the picture is damaged or cut short; get a fresh copy of it") from error


@contextmanager
def _raise_pillows_limit(max_pixels: int) -> Iterator[None]:
    """Some decoders ask Pillow's own limit, too; a person who raised ours meant both, but only for this picture."""
    if max_pixels <= DEFAULT_MAX_PIXELS:
        yield
        return
    with _PILLOWS_LIMIT:
        before = Image.MAX_IMAGE_PIXELS
        Image.MAX_IMAGE_PIXELS = None if before is None else max(before, max_pixels)
        try:
            yield
        finally:
            Image.MAX_IMAGE_PIXELS = before


def _turn_upright(picture: Image.Image) -> Image.Image:
    """A copy, turned as its EXIF block says."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:  # The block is as much a stranger's bytes as the pixels, but a bad one must not cost the page.
        return picture.copy()


def _to_rgb(picture: Image.Image) -> Image.Image:
    """Eight bits a channel; alpha is dropped, not blended, as in the model's training, unless all is drawn in it."""
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = _to_eight_bits(picture)
    if picture.mode != "RGB":
        alpha = picture.convert("RGBA").getchannel("A") if picture.has_transparency_data else None
        picture = picture.convert("RGB")
        if alpha and _is_flat(picture) and not _is_flat(alpha):
            dark = picture.convert("L").point(lambda shade: 255 * (shade < 128))  # all of it, or nothing
            picture = Image.composite(picture, dark.convert("RGB"), alpha)
    picture.info = {}  # Else a crop of the page, once saved, would inherit its transparent colour.
    return picture


def _is_flat(picture: Image.Image) -> bool:
    """Whether all of it has one colour."""
    return len(picture.getcolors(1) or ()) == 1


def _to_eight_bits(grey: Image.Image) -> Image.Image:
    """Deep greys scaled to 0..255; Pillow's own conversion makes everything above 255 white."""
    import numpy as np  # Few pictures need it, and a child process starts in half the time without.

    values = np.nan_to_num(np.asarray(grey, dtype=np.float32), posinf=0, neginf=0).clip(min=0)
    peak = float(values.max())
    sixteen_bits = grey.mode.startswith("I;16")
    white = 65535 if sixteen_bits else next((scale for scale in _FULL_SCALES if scale >= peak), peak)
    return Image.fromarray((values * (255 / white)).round().astype(np.uint8))


def _resolution(picture: Image.Image) -> float | None:
    """Dots per inch across; files that do not know it write 0 or 1."""
    try:
        dpi = float(picture.info["dpi"][0])
    except (LookupError, TypeError, ValueError, ArithmeticError):
        return None
    return dpi if math.isfinite(dpi) and dpi > 1 else None
