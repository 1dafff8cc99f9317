"""Every file that a reader of pages is known to stumble over, made by hand, with what should become of it.

`python tests/pages/bad_inputs.py FOLDER` writes them all, to try on any reader.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
import sys
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

sys.path.insert(0, str(Path(__file__).parents[1]))
from written_pdfs import _PADDING, _pad, _rc4, write_pdf

try:
    import pillow_heif
except ImportError:
    pillow_heif = None


@dataclass(frozen=True)
class Case:
    """A file by its name, how it is made, and the outcome.

    pages: how many come of it; broken: those among them that cannot be shown, each with a word of the reason; size: that
    of the first one; text: its text layer. refused: words of the one line that is said instead. asked: of a long file,
    the pages that are asked for. mean: it is made to hang or to take all memory, where it is not opened in a child.
    """

    name: str
    make: Callable[[], bytes]
    pages: int = 1
    refused: str = ""
    broken: dict[int, str] = field(default_factory=dict)
    size: tuple[int, int] | None = None
    text: str | None = None
    asked: str | None = None
    mean: bool = False


@dataclass(frozen=True)
class Archive:
    """An archive, and for each member that is found in it: "" where it is read, else words of what is said instead.

    refused: words of the one line that is said of the whole archive.
    """

    name: str
    make: Callable[[], bytes]
    members: dict[str, str] = field(default_factory=dict)
    refused: str = ""


# PDF


def pdf(objects: dict[int, bytes], trailer: bytes = b"", start: int | None = None) -> bytes:
    """A PDF of numbered objects; object 1 is the catalogue. start: where it says that its table is."""
    body, offsets = b"%PDF-1.7\n", {}
    for number, content in objects.items():
        offsets[number] = len(body)
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%d 1\n%010d 00000 n \n" % place for place in offsets.items())
    end = b"trailer<</Root 1 0 R/Size %d%s>>\nstartxref\n%d\n%%%%EOF\n"
    return body + b"xref\n" + table + end % (max(objects) + 1, trailer, len(body) if start is None else start)


def stream(content: bytes, extra: bytes = b"") -> bytes:
    return b"<</Length %d%s>>stream\n%s\nendstream" % (len(content), extra, content)


def one_page(
    page: bytes = b"",
    *,
    box: bytes = b"0 0 200 100",
    catalogue: bytes = b"",
    content: bytes = b"BT /F 18 Tf 20 50 Td (Hello) Tj ET",
    resources: bytes = b"",
    more: dict[int, bytes] | None = None,
    **how: Any,
) -> bytes:
    """A page with one word on it, and whatever is wrong with it."""
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R%s>>" % catalogue,
        2: b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        3: b"<</Type/Page/Parent 2 0 R/MediaBox[%s]/Resources<</Font<</F 4 0 R>>%s>>/Contents 5 0 R%s>>"
        % (box, resources, page),
        4: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
        5: stream(content),
    }
    return pdf({**objects, **(more or {})}, **how)


def picture_pdf(filter: bytes, data: bytes, size: tuple[int, int], extra: bytes) -> bytes:
    """A page that is one picture, packed in one of a PDF's own ways."""
    form = b"/Type/XObject/Subtype/Image/Width %d/Height %d/Filter/%s%s" % (*size, filter, extra)
    return one_page(
        content=b"q 200 0 0 100 0 0 cm /I Do Q", resources=b"/XObject<</I 6 0 R>>", more={6: stream(data, form)}
    )


def jbig2() -> bytes:
    """A page of 64 by 32 pixels that says no more than that it is black."""
    about = struct.pack(">IIIIBH", 64, 32, 0, 0, 0x04, 0)
    data = struct.pack(">IBBBI", 0, 48, 0, 1, len(about)) + about + struct.pack(">IBBBI", 1, 49, 0, 1, 0)
    return picture_pdf(b"JBIG2Decode", data, (64, 32), b"/BitsPerComponent 1/ColorSpace/DeviceGray")


def jpeg2000() -> bytes:
    return picture_pdf(b"JPXDecode", encode(ramp((64, 32)), "JPEG2000"), (64, 32), b"/ColorSpace/DeviceRGB")


def fax() -> bytes:
    data = encode(ramp((64, 32)).convert("1"), "TIFF", compression="group4")
    with Image.open(io.BytesIO(data)) as tiff:
        start, length = tiff.tag_v2[273][0], tiff.tag_v2[279][0]  # type: ignore[attr-defined]
    extra = b"/BitsPerComponent 1/ColorSpace/DeviceGray/DecodeParms<</K -1/Columns 64/Rows 32>>"
    return picture_pdf(b"CCITTFaxDecode", data[start : start + length], (64, 32), extra)


def page_tree_in_a_circle() -> bytes:
    return pdf({1: b"<</Type/Catalog/Pages 2 0 R>>", 2: b"<</Type/Pages/Kids[2 0 R 2 0 R]/Count 2/Parent 2 0 R>>"})


def form_in_itself() -> bytes:
    form = stream(b"/X Do", b"/Type/XObject/Subtype/Form/BBox[0 0 200 100]/Resources<</XObject<</X 6 0 R>>>>")
    return one_page(content=b"/X Do", resources=b"/XObject<</X 6 0 R>>", more={6: form})


def forms_upon_forms(levels: int = 12, copies: int = 12) -> bytes:
    """A thousand bytes that ask for a square to be drawn some ten billion times."""
    forms = {}
    for level in range(levels):
        inner = b"/X Do " * copies if level + 1 < levels else b"0 0 9 9 re f"
        link = b"/Resources<</XObject<</X %d 0 R>>>>" % (7 + level)
        forms[6 + level] = stream(inner, b"/Type/XObject/Subtype/Form/BBox[0 0 200 100]" + link)
    return one_page(content=b"/X Do", resources=b"/XObject<</X 6 0 R>>", more=forms)


def endless_shade(steps: int = 200_000) -> bytes:
    """A page whose every pixel has a shade that takes so many steps to work out."""
    program = stream(b"{pop %s}" % (b"dup mul " * steps), b"/FunctionType 4/Domain[0 200 0 100]/Range[0 1]")
    shade = b"<</ShadingType 1/ColorSpace/DeviceGray/Domain[0 200 0 100]/Function 7 0 R>>"
    return one_page(content=b"/S sh", resources=b"/Shading<</S 6 0 R>>", more={6: shade, 7: program})


def zeros(size: int, header: bytes = b"") -> bytes:
    """So many zeros packed, at the price of packing a few of them: the rest repeats those."""
    packer, block = zlib.compressobj(9, zlib.DEFLATED, -15), 16 * 2**20
    packed = packer.compress(bytes(block)) + packer.flush(zlib.Z_FULL_FLUSH)
    return header + packed * (size // block) + packer.flush()


def packed_twice(size: int = 512 * 2**20) -> bytes:
    """Some hundreds of bytes of instructions that unpack to half a gigabyte."""
    content = stream(zlib.compress(zeros(size, b"x\1"), 9), b"/Filter[/FlateDecode/FlateDecode]")
    return one_page(more={5: content})


def many_pages(count: int = 3000) -> bytes:
    kids = b" ".join(b"%d 0 R" % (3 + place) for place in range(count))
    pages = {3 + place: b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 20 20]>>" for place in range(count)}
    return pdf({1: b"<</Type/Catalog/Pages 2 0 R>>", 2: b"<</Type/Pages/Kids[%s]/Count %d>>" % (kids, count), **pages})


def owner_locked() -> bytes:
    """Opens for anybody; another password would allow more than to look at it."""
    number, allowed = b"0123456789abcdef", struct.pack("<i", -44)
    owner = _rc4(hashlib.md5(_pad("sesame")).digest()[:5], _pad(""))
    key = hashlib.md5(_pad("") + owner + allowed + number).digest()[:5]
    content = _rc4(hashlib.md5(key + b"\5\0\0\0\0").digest()[:10], b"BT /F 18 Tf 20 50 Td (Hello) Tj ET")
    names = (owner.hex().encode(), _rc4(key, _PADDING).hex().encode())
    lock = b"<</Filter/Standard/V 1/R 2/Length 40/P -44/O<%s>/U<%s>>>" % names
    ids = (number.hex().encode(),) * 2
    return one_page(content=content, more={9: lock}, trailer=b"/Encrypt 9 0 R/ID[<%s><%s>]" % ids)


def form_of_xml() -> bytes:
    xml = stream(
        b"<xdp:xdp xmlns:xdp='http://ns.adobe.com/xdp/'><!DOCTYPE x [<!ENTITY e SYSTEM 'file:///etc/passwd'>]>"
    )
    return one_page(catalogue=b"/AcroForm<</Fields[]/XFA 6 0 R>>/NeedsRendering true", more={6: xml})


def signed() -> bytes:
    field = b"<</FT/Sig/T(name)/Subtype/Widget/Rect[0 0 0 0]/P 3 0 R/V 7 0 R>>"
    value = b"<</Type/Sig/Filter/Adobe.PPKLite/SubFilter/adbe.pkcs7.detached/ByteRange[0 9 9 9]/Contents<00>>>"
    return one_page(catalogue=b"/AcroForm<</SigFlags 3/Fields[6 0 R]>>", more={6: field, 7: value})


def with_a_program() -> bytes:
    catalogue = b"/OpenAction<</S/JavaScript/JS(while\\(true\\){};app.launchURL\\('http://127.0.0.1'\\))>>"
    return one_page(catalogue=catalogue)


def with_a_file_inside() -> bytes:
    names = b"/Names<</EmbeddedFiles<</Names[(../../x.exe) 6 0 R]>>>>"
    file = b"<</Type/Filespec/F(../../x.exe)/EF<</F 7 0 R>>>>"
    return one_page(catalogue=names, more={6: file, 7: stream(b"MZ", b"/Type/EmbeddedFile")})


def lying_text() -> bytes:
    return one_page(content=b"BT /F 18 Tf 20 50 Td (Hello) Tj ET BT 3 Tr /F 18 Tf 20 50 Td (Goodbye) Tj ET")


PDFS = (
    Case("empty.pdf", lambda: b"", refused="the file is empty"),
    Case("cut.pdf", lambda: write_pdf(["one", "two"])[:300], refused="damaged or cut short"),
    Case("rubbish.pdf", lambda: b"%PDF-1.7\n" + bytes(range(256)) * 40, refused="damaged or cut short"),
    Case("text.pdf", lambda: b"just text", refused="none of the known formats"),
    Case("a pdf.png", lambda: write_pdf(["one"]), text="one"),
    Case("no pages.pdf", lambda: write_pdf([]), refused="no pages"),
    Case("missing page.pdf", lambda: write_pdf(["one", None, "three"]), pages=3, broken={2: "damaged or missing"}),
    Case("user password.pdf", lambda: write_pdf(["one"], password="sesame"), refused="locked; give its password"),
    Case("owner password.pdf", owner_locked, text="Hello"),
    Case("xfa form.pdf", form_of_xml, text="Hello"),
    Case("signed.pdf", signed, text="Hello"),
    Case("no contents.pdf", lambda: one_page().replace(b"/Contents 5 0 R", b""), size=(400, 200)),
    Case("box 0 by 0.pdf", partial(one_page, box=b"0 0 0 0"), size=(1224, 1584)),
    Case("box upside down.pdf", partial(one_page, box=b"200 100 0 0"), size=(400, 200)),
    Case("box below zero.pdf", partial(one_page, box=b"-200 -100 0 0"), size=(400, 200)),
    Case("box 14400.pdf", partial(one_page, box=b"0 0 14400 14400"), refused="more than the limit"),
    Case("box 1.pdf", partial(one_page, box=b"0 0 1 1"), refused="too small"),
    Case("box of rubbish.pdf", partial(one_page, box=b"0 0 1e99 nan"), size=(1224, 1584)),
    Case("200 megapixels.pdf", partial(one_page, box=b"0 0 7072 7072"), refused="more than the limit"),
    Case("user unit.pdf", partial(one_page, b"/UserUnit 3"), text="Hello"),
    *(
        Case(f"turned {angle}.pdf", partial(one_page, b"/Rotate %d" % angle), size=size)
        for angle, size in ((90, (200, 400)), (180, (400, 200)), (270, (200, 400)), (45, (400, 200)))
    ),
    Case("crop outside.pdf", partial(one_page, b"/CropBox[900 900 950 950]"), refused="too small"),
    Case("jbig2.pdf", jbig2, size=(400, 200)),
    Case("jpeg 2000.pdf", jpeg2000, size=(400, 200)),
    Case("fax.pdf", fax, size=(400, 200)),
    Case("3000 pages.pdf", many_pages, pages=3, asked="1,1500,3000"),
    Case("tree in a circle.pdf", page_tree_in_a_circle, pages=2, broken={1: "damaged", 2: "damaged"}),
    Case("form in itself.pdf", form_in_itself, size=(400, 200)),
    Case("endless shade.pdf", endless_shade, refused="not done within", mean=True),
    Case("forms upon forms.pdf", forms_upon_forms, refused="ran out of memory", mean=True),
    Case("packed twice.pdf", packed_twice, refused="ran out of memory", mean=True),
    Case("broken table.pdf", partial(one_page, start=7), text="Hello"),
    Case("program.pdf", with_a_program, text="Hello"),
    Case("file inside.pdf", with_a_file_inside, text="Hello"),
    Case("lying text.pdf", lying_text, size=(400, 200)),
)


# Pictures


def encode(image: Image.Image, format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def plain(size: tuple[int, int] = (40, 30), colour: Any = "white", mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, colour)


def ramp(size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.linear_gradient("L").resize(size).convert("RGB")


def noise(size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def print_page(size: tuple[int, int] = (400, 560)) -> Image.Image:
    page = plain(size)
    draw = ImageDraw.Draw(page)
    for top in range(40, size[1] - 40, 24):
        draw.text((40, top), "All of this is good to read, line for line.", "black")
    return page


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(size: tuple[int, int], *chunks: bytes, depth: int = 8) -> bytes:
    """A grey PNG of one shade, with chunks before its pixels."""
    row = b"\0" * (1 + -(-size[0] * depth // 8))
    packer = zlib.compressobj(1)
    rows = b"".join(packer.compress(row * 100) for _ in range(-(-size[1] // 100))) + packer.flush()
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", *size, depth, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IDAT", rows) + png_chunk(b"IEND", b"")


def swollen(kind: bytes, before: bytes, megabytes: int = 20) -> bytes:
    return png((40, 30), png_chunk(kind, before + zlib.compress(bytes(megabytes * 2**20), 9)))


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encode(ramp((40, 24)), "JPEG", exif=exif)


def frames(format: str, **options: Any) -> bytes:
    return encode(plain(), format, save_all=True, append_images=[ramp((40, 30)), noise((40, 30))], **options)


def bad_second_page() -> bytes:
    data = frames("TIFF", compression="tiff_adobe_deflate")
    with Image.open(io.BytesIO(data)) as tiff:
        tiff.seek(1)
        start, length = tiff.tag_v2[273][0], tiff.tag_v2[279][0]  # type: ignore[attr-defined]
    return data[:start] + b"\xff" * length + data[start + length :]


def tiff_in_a_circle() -> bytes:
    """A TIFF whose first page names itself as the next one."""
    data = bytearray(encode(plain(), "TIFF"))
    first = struct.unpack_from("<I", data, 4)[0]
    entries = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * entries, first)
    return bytes(data)


def heic() -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(ramp()).save(buffer)
    return buffer.getvalue()


PICTURES = (
    Case("good.png", lambda: encode(print_page(), "PNG")),
    Case("1 by 1.png", lambda: encode(plain((1, 1)), "PNG"), refused="too small"),
    Case("1 by 100000.png", lambda: png((1, 100_000)), refused="too small"),
    Case("8 by 100000.png", lambda: png((8, 100_000)), size=(8, 100_000)),
    Case("bomb.png", lambda: png((30_000, 30_000), depth=1), refused="more than the limit"),
    Case("16 bits.png", lambda: encode(Image.fromarray(np.full((30, 40), 65535, np.uint16)), "PNG")),
    *(
        Case(f"mode {mode}.tif", lambda mode=mode: encode(ramp().convert(mode), "TIFF"))
        for mode in ("1", "L", "P", "LA", "RGBA", "CMYK", "YCbCr", "LAB", "F", "I")
    ),
    *(
        Case(f"orientation {number}.jpg", partial(oriented, number), size=(40, 24) if number < 5 else (24, 40))
        for number in range(1, 9)
    ),
    Case("orientation 99.jpg", partial(oriented, 99), size=(40, 24)),
    Case("animation.gif", partial(frames, "GIF"), pages=3),
    Case("animation.webp", partial(frames, "WEBP"), pages=3),
    Case("three pages.tif", partial(frames, "TIFF"), pages=3),
    Case("bad second page.tif", bad_second_page, pages=3, broken={2: "damaged or cut short"}),
    Case("circle.tif", tiff_in_a_circle),
    Case("cut.jpg", lambda: encode(noise(), "JPEG")[:1500], refused="damaged or cut short"),
    Case("cut.webp", lambda: encode(noise(), "WEBP")[:1500], refused="damaged or cut short"),
    Case("cut.tif", lambda: encode(noise(), "TIFF")[:-50], refused="damaged or cut short"),
    Case("swollen profile.png", partial(swollen, b"iCCP", b"x\0\0"), refused="damaged"),
    Case("swollen text.png", partial(swollen, b"zTXt", b"x\0\0"), refused="damaged"),
    Case("drawing.png", lambda: b"<svg xmlns='http://www.w3.org/2000/svg'/>", refused="none of the known formats"),
    Case("photoshop.png", lambda: b"8BPS\0\1" + bytes(100), refused="none of the known formats"),
    Case("script.png", lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n(/etc/passwd) run", refused="none of the known formats"),
    Case("white.png", lambda: encode(plain(), "PNG")),
    Case("black.png", lambda: encode(plain(colour="black"), "PNG")),
    Case("noise.png", lambda: encode(noise(), "PNG")),
    *(
        Case(f"lying {angle}.png", lambda angle=angle: encode(print_page().rotate(angle, expand=True), "PNG"))
        for angle in (90, 180)
    ),
    *([Case("photo.heic", heic, size=(64, 48))] if pillow_heif else []),
    Case(
        "not.heic",
        lambda: b"\0\0\0\x18ftypheic" + bytes(100),
        refused="HEIC pictures" if not pillow_heif else "damaged",
    ),
)


# Archives

GOOD = encode(print_page((120, 80)), "PNG")


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return buffer.getvalue()


def tarred(*members: tuple[str, bytes | tuple[bytes, str]], mode: str = "w") -> bytes:
    """A member's bytes, or what kind of thing it is and where it leads."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members:
            info = tarfile.TarInfo(name)
            if isinstance(data, bytes):
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
            else:
                info.type, info.linkname = data
                archive.addfile(info)
    return buffer.getvalue()


def zip_link(name: str, to: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.external_attr = (0o120777) << 16
    return info, to.encode()


def locked_zip() -> bytes:
    """Whether a member is locked is one bit in each of its two headers."""
    data = bytearray(zipped(("locked.png", GOOD), ("open.png", GOOD)))
    data[6] |= 1
    data[data.index(b"PK\1\2") + 8] |= 1
    return bytes(data)


def zeros_zip(size: int = 10 * 2**30) -> bytes:
    """Ten gigabytes in ten megabytes, with sizes that say so, and a good page beside them."""
    packed = zeros(size)
    large = struct.pack("<HHQQ", 1, 16, size, len(packed))
    fields = (0, 0, 0, 0xFFFFFFFF, 0xFFFFFFFF, len(b"zeros.png"), len(large))
    local = struct.pack("<4sHHHHHIIIHH", b"PK\3\4", 45, 0, 8, *fields) + b"zeros.png" + large + packed
    entry = struct.pack("<4sHHHHHHIIIHHHHHII", b"PK\1\2", 45, 45, 0, 8, *fields, 0, 0, 0, 0, 0) + b"zeros.png" + large
    end = struct.pack("<4sHHHHIIH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local), 0)
    return local + entry + end


def lying_zip() -> bytes:
    """A member that says it has a hundred bytes, and has a hundred thousand."""
    data = bytearray(zipped(("lying.png", bytes(100_000)), ("open.png", GOOD)))
    struct.pack_into("<I", data, 22, 100)
    struct.pack_into("<I", data, data.index(b"PK\1\2") + 24, 100)
    return bytes(data)


def backwards_tar() -> bytes:
    """A member whose size is below zero, so that the next one is the one before it."""
    data = bytearray(tarred(("a.png", GOOD), ("b.png", GOOD)))
    start = 512 + -(-len(GOOD) // 512) * 512
    data[start + 124 : start + 136] = b"\xff" * 10 + struct.pack(">h", -1024)
    data[start + 148 : start + 156] = b" " * 8
    data[start + 148 : start + 156] = b"%06o\0 " % sum(data[start : start + 512])
    return bytes(data)


ARCHIVES = (
    Archive(
        "slips.zip",
        lambda: zipped(
            ("../../up.png", GOOD), ("/etc/root.png", GOOD), ("C:\\drive.png", GOOD), ("a\n/b\x1b.png", GOOD)
        ),
        {"C_/drive.png": "", "a_n/b_x1b.png": "", "etc/root.png": "", "up.png": ""},
    ),
    Archive(
        "slips.tar",
        lambda: tarred(("../../up.png", GOOD), ("/etc/root.png", GOOD), ("x" * 90 + "/" + "y" * 300 + ".png", GOOD)),
        {"etc/root.png": "", "up.png": "", "x" * 90 + "/" + "y" * 60 + "…" + "y" * 55 + ".png": ""},
    ),
    Archive(
        "twins.zip",
        lambda: tarred(("a.png", GOOD), ("./a.png", GOOD), ("A.png", GOOD)),
        {"A.png": "", "a-2.png": "", "a-3.png": ""},
    ),
    Archive(
        "nested.zip",
        lambda: zipped(("inner.zip", zipped(("deep.png", GOOD))), ("open.png", GOOD)),
        {"inner.zip": "only as a file of its own", "open.png": ""},
    ),
    Archive(
        "links.zip",
        lambda: zipped(zip_link("link.png", "/etc/passwd"), ("open.png", GOOD)),
        {"link.png": "not followed", "open.png": ""},
    ),
    Archive(
        "links.tar",
        lambda: tarred(
            ("device.png", (tarfile.CHRTYPE, "")),
            ("hard.png", (tarfile.LNKTYPE, "/etc/passwd")),
            ("link.png", (tarfile.SYMTYPE, "/etc/passwd")),
            ("pipe.png", (tarfile.FIFOTYPE, "")),
            ("open.png", GOOD),
        ),
        {**dict.fromkeys(("device.png", "hard.png", "link.png", "pipe.png"), "not followed"), "open.png": ""},
    ),
    Archive("locked.zip", locked_zip, {"locked.png": "locked", "open.png": ""}),
    Archive("zeros.zip", zeros_zip, {"zeros.png": "no page"}),
    Archive("lying.zip", lying_zip, {"lying.png": "damaged in the archive", "open.png": ""}),
    Archive(
        "zeros.tar.gz",
        lambda: tarred(("good.png", GOOD), ("zeros.png", bytes(72 * 2**20)), mode="w:gz"),
        {"good.png": "", "zeros.png": "unpacks to more", "the rest": "unpacks to more"},
    ),
    *(
        Archive(f"packed.tar.{kind}", lambda kind=kind: tarred(("good.png", GOOD), mode=f"w:{kind}"), {"good.png": ""})
        for kind in ("gz", "bz2", "xz")
    ),
    Archive(
        "cut.tar.gz",
        lambda: tarred(("a.png", GOOD), ("b.png", encode(noise((200, 200)), "PNG")), mode="w:gz")[:-30_000],
        {"a.png": "", "b.png": "cut short", "the rest": "cut short"},
    ),
    Archive("backwards.tar", backwards_tar, {"a.png": "", "b.png": "cut short"}),
    Archive("cut.zip", lambda: zipped(("a.png", GOOD))[:-30], refused="damaged or cut short"),
    Archive("rubbish.zip", lambda: b"PK\3\4" + bytes(1000), refused="damaged or cut short"),
    Archive("hollow.zip", lambda: zipped(), refused="an archive without pages"),
    Archive(
        "notes.zip", lambda: zipped(("notes.txt", b"x"), (".hidden.png", GOOD)), refused="an archive without pages"
    ),
    Archive(
        "letter.docx", lambda: zipped(("[Content_Types].xml", b"<x/>"), ("word/media/a.png", GOOD)), refused="office"
    ),
    Archive("page.png.gz", lambda: gzip.compress(GOOD), refused="holds no tar archive"),
)


def write_corpus(folder: Path) -> None:
    """All files, those with strange names in a folder of their own."""
    for case in (*PDFS, *PICTURES, *ARCHIVES):
        (folder / case.name).write_bytes(case.make())
    (folder / "names").mkdir()
    write_names(folder / "names")


def write_names(folder: Path) -> list[str]:
    """Good pages under names that are hard to bear, as far as the disk bears them; gives back their names."""
    composed = unicodedata.normalize("NFC", "é.png")
    names = [
        "-rf.png",
        "--output.png",
        "line\nbreak.png",
        "\x1b[31mred.png",
        "😀.png",
        "\udcff.png",
        "x" * 251 + ".png",
    ]
    names += [composed, unicodedata.normalize("NFD", composed), "case.png", "CASE.PNG", "one stem.png", "one stem.pdf"]
    names += ["%s%n.png", "$(touch x).png", "CON.png", " .png", "..png", "*.png", "[1].png"]
    written = []
    for name in names:
        with suppress(OSError):
            (folder / name).write_bytes(GOOD)
            written.append(name)
    return written


if __name__ == "__main__":
    where = Path(sys.argv[1])
    where.mkdir(parents=True, exist_ok=True)
    write_corpus(where)
    print(f"{len(list(where.rglob('*')))} files in {where}")
