"""What two processes say to each other: a length, a line of JSON, and the raw bytes that the line announces."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import IO, Any

_LENGTH = struct.Struct("<I")
_LONGEST_HEADER = 2**16


@dataclass(frozen=True)
class Frame:
    """A header of plain values, and as many bytes as it says under "bytes"; read_frame leaves those to be read."""

    header: dict[str, Any]

    @property
    def length(self) -> int:
        """How many bytes follow the header."""
        length = self.header.get("bytes", 0)
        if not isinstance(length, int) or length < 0:
            raise ValueError("no length")
        return length


def write_frame(stream: IO[bytes], header: dict[str, Any], length: int = 0, blocks: Iterable[bytes] = ()) -> None:
    """Sends a header, and after it the blocks, which are so many bytes together."""
    text = json.dumps({**header, "bytes": length}).encode()
    stream.write(_LENGTH.pack(len(text)) + text)
    for block in blocks:
        stream.write(block)
    stream.flush()


def read_frame(stream: IO[bytes]) -> Frame:
    """The next header; EOFError when the other side is gone, ValueError for what is no header."""
    (length,) = _LENGTH.unpack(read_bytes(stream, _LENGTH.size))
    if length > _LONGEST_HEADER:
        raise ValueError("a header too long")
    header = json.loads(read_bytes(stream, length))
    if not isinstance(header, dict):
        raise ValueError("a header that is no table")
    return Frame(header)


def read_bytes(stream: IO[bytes], length: int) -> bytes:
    """So many bytes and no fewer; EOFError when the other side is gone before."""
    data = stream.read(length)
    if len(data) < length:
        raise EOFError
    return data
