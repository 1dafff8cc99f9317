"""Small PDFs, written by hand so that each defect in them is known."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence

_PADDING = bytes.fromhex("28BF4E5E4E758A4164004E56FFFA01082E2E00B6D0683E802F0CA9FE6453697A")
_FILE_ID = b"0123456789abcdef"
_PERMISSIONS = struct.pack("<i", -4)


def write_pdf(
    texts: Sequence[str | None], size: tuple[int, int] = (200, 100), password: str = "", page_extra: str = ""
) -> bytes:
    """A page for each text, 18 points high; None is a page that the page tree names but the file does not hold."""
    owner_key = hashlib.md5(_pad(password)).digest()[:5]
    owner = _rc4(owner_key, _pad(password))
    key = hashlib.md5(_pad(password) + owner + _PERMISSIONS + _FILE_ID).digest()[:5] if password else b""
    kids = " ".join(f"{4 + 2 * place} 0 R" for place in range(len(texts)))
    objects = {
        1: b"<</Type/Catalog/Pages 2 0 R>>",
        2: f"<</Type/Pages/Kids[{kids}]/Count {len(texts)}>>".encode(),
        3: b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
    }
    for place, text in enumerate(texts):
        if text is not None:
            number = 4 + 2 * place
            objects[number] = (
                f"<</Type/Page/Parent 2 0 R/MediaBox[0 0 {size[0]} {size[1]}]{page_extra}"
                f"/Resources<</Font<</F 3 0 R>>>>/Contents {number + 1} 0 R>>"
            ).encode()
            objects[number + 1] = _stream(f"BT /F 18 Tf 20 50 Td ({text}) Tj ET".encode(), number + 1, key)
    encrypt = b""
    if password:
        objects[1000] = b"<</Filter/Standard/V 1/R 2/Length 40/P -4/O<%s>/U<%s>>>" % (
            owner.hex().encode(),
            _rc4(key, _PADDING).hex().encode(),
        )
        encrypt = b"/Encrypt 1000 0 R/ID[<%s><%s>]" % (_FILE_ID.hex().encode(), _FILE_ID.hex().encode())
    return _assemble(objects, encrypt)


def _assemble(objects: dict[int, bytes], trailer: bytes) -> bytes:
    body, offsets = b"%PDF-1.4\n", {}
    for number, content in objects.items():
        offsets[number] = len(body)
        body += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%d 1\n%010d 00000 n \n" % (number, offset) for number, offset in offsets.items())
    size = max(objects) + 1
    end = b"trailer<</Root 1 0 R/Size %d%s>>\nstartxref\n%d\n%%%%EOF\n" % (size, trailer, len(body))
    return body + b"xref\n0 1\n0000000000 65535 f \n" + table + end


def _stream(content: bytes, number: int, key: bytes) -> bytes:
    if key:
        salt = number.to_bytes(3, "little") + b"\0\0"
        content = _rc4(hashlib.md5(key + salt).digest()[:10], content)
    return b"<</Length %d>>stream\n%s\nendstream" % (len(content), content)


def _pad(password: str) -> bytes:
    return (password.encode("latin-1") + _PADDING)[:32]


def _rc4(key: bytes, content: bytes) -> bytes:
    box, swap, out = list(range(256)), 0, bytearray()
    for i in range(256):
        swap = (swap + box[i] + key[i % len(key)]) % 256
        box[i], box[swap] = box[swap], box[i]
    i = j = 0
    for byte in content:
        i = (i + 1) % 256
        j = (j + box[i]) % 256
        box[i], box[j] = box[j], box[i]
        out.append(byte ^ box[(box[i] + box[j]) % 256])
    return bytes(out)
