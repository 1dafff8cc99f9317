"""Pictures in the forms that a PDF holds: a JPEG file as it is, or every pixel as it is."""

from __future__ import annotations

import io
import struct
from dataclasses import dataclass

from PIL import Image
from PIL.JpegImagePlugin import JpegImageFile

_COLOURS = {"1": (b"DeviceGray", 1, 1), "L": (b"DeviceGray", 1, 8), "RGB": (b"DeviceRGB", 3, 8)}
_JPEG_COLOURS = {"L": b"DeviceGray", "RGB": b"DeviceRGB", "CMYK": b"DeviceCMYK"}
_ORIENTATION = 0x0112  # the EXIF tag that says how a camera was held
# Where the left edge and the foot of the stored picture lie when it is seen upright, as a PDF matrix in shares of the
# picture's width (a, c, e) and height (b, d, f).
_UPRIGHT = {
    1: (1, 0, 0, 1, 0, 0),
    2: (-1, 0, 0, 1, 1, 0),
    3: (-1, 0, 0, -1, 1, 1),
    4: (1, 0, 0, -1, 0, 1),
    5: (0, -1, -1, 0, 1, 1),
    6: (0, -1, 1, 0, 0, 1),
    7: (0, 1, 1, 0, 0, 0),
    8: (0, 1, -1, 0, 1, 0),
}


@dataclass(frozen=True)
class Picture:
    """Size in pixels as it is seen, and what a PDF needs to draw it.

    `entries` describes `data` in PDF's own words; `turn` is the matrix that sets it upright.
    """

    size: tuple[int, int]
    entries: bytes
    data: bytes
    turn: tuple[int, ...] = _UPRIGHT[1]


def keep_jpeg(content: bytes) -> Picture | None:
    """A JPEG file, not touched; None where it is none or holds colours that a PDF has no word for."""
    try:
        file = JpegImageFile(io.BytesIO(content))
        orientation = file.getexif().get(_ORIENTATION, 1)
    except (SyntaxError, OSError, ValueError, TypeError, struct.error):
        return None
    if file.mode not in _JPEG_COLOURS or file.bits != 8:
        return None
    entries = b"/ColorSpace/%s/BitsPerComponent 8/Filter/DCTDecode" % _JPEG_COLOURS[file.mode]
    if file.mode == "CMYK" and "adobe" in file.info:
        entries += b"/Decode[1 0 1 0 1 0 1 0]"  # Adobe writes its inks inverted.
    turn = _UPRIGHT.get(orientation, _UPRIGHT[1])
    size = file.size if turn[0] else file.size[::-1]
    return Picture(size, _size(*file.size) + entries, content, turn)


def keep_pixels(image: Image.Image) -> Picture:
    """An image without any loss, in black and white or grey where it has no other colours."""
    image = _fewest_colours(image)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    space, channels, bits = _COLOURS[image.mode]
    # What a PNG file holds in its IDAT chunks is one of the forms that a PDF knows by itself.
    predictor = b"/DecodeParms<</Predictor 15/Colors %d/BitsPerComponent %d/Columns %d>>" % (
        channels,
        bits,
        image.width,
    )
    entries = b"/ColorSpace/%s/BitsPerComponent %d/Filter/FlateDecode%s" % (space, bits, predictor)
    return Picture(image.size, _size(*image.size) + entries, _png_data(buffer.getvalue()))


def _fewest_colours(image: Image.Image) -> Image.Image:
    image = image.convert("RGB")
    grey = image.convert("L")
    if Image.merge("RGB", (grey, grey, grey)).tobytes() != image.tobytes():
        return image
    levels = grey.histogram()
    return grey.convert("1") if levels[0] + levels[255] == sum(levels) else grey


def _size(width: int, height: int) -> bytes:
    return b"/Width %d/Height %d" % (width, height)


def _png_data(png: bytes) -> bytes:
    place, data = 8, []
    while place < len(png):
        (length,) = struct.unpack_from(">I", png, place)
        if png[place + 4 : place + 8] == b"IDAT":
            data.append(png[place + 8 : place + 8 + length])
        place += 12 + length
    return b"".join(data)
