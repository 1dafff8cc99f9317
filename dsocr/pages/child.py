"""A process of its own that opens strangers' files: what crashes, hangs or eats memory in here costs one page."""

from __future__ import annotations

import os
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator
from contextlib import suppress
from io import BytesIO
from types import ModuleType
from typing import Any, BinaryIO, cast

from PIL import Image

from dsocr.errors import InputError
from dsocr.pages.formats import PagedFile, Wish, open_paged
from dsocr.pages.frames import Frame, read_bytes, read_frame, write_frame

resource: ModuleType | None
try:
    import resource
except ImportError:  # as on Windows, where time is all that is limited
    resource = None

_BLOCK = 2**20
_IN_MEMORY = 64 * 2**20  # bytes; larger files wait on the disk
_POLL = 0.5  # seconds


def serve(memory: int, file_bytes: int, parent: int) -> None:
    """Opens what it is sent and draws its pages, until the parent (its process number) is gone.

    memory: bytes of address space that this process may have; file_bytes: those of a file it may be sent.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # They are for the parent, who then ends this.
        signal.signal(number, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    requests, answers = sys.stdin.buffer, _take_stdout()
    _limit("RLIMIT_AS", memory)
    _limit("RLIMIT_FSIZE", file_bytes)
    _limit("RLIMIT_CORE", 0)
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    files: dict[int, PagedFile] = {}
    with suppress(EOFError, BrokenPipeError):
        while True:
            _answer(read_frame(requests), requests, answers, files)


def _answer(request: Frame, requests: BinaryIO, answers: BinaryIO, files: dict[int, PagedFile]) -> None:
    asked = request.header
    _limit_processor(asked["seconds"])
    for closed in asked["forget"]:
        if closed in files:
            files.pop(closed).close()
    # Nothing is caught while the two talk: half a message understood is worse than an end.
    sent = _receive(requests, request.length)
    try:
        header, text, image = _do(asked, sent, files)
    except InputError as error:
        header, text, image = {"refusal": str(error), "kind": type(error).__name__}, b"", None
    except MemoryError:
        header, text, image = {"refusal": "it needs more memory than a file may take"}, b"", None
    length = len(text) + (3 * image.width * image.height if image else 0)
    write_frame(answers, header, length, _bands(text, image))


def _do(
    asked: dict[str, Any], sent: BinaryIO, files: dict[int, PagedFile]
) -> tuple[dict[str, Any], bytes, Image.Image | None]:
    """What is asked for; gives back a header, and a page's text and pixels if it is one."""
    number = asked["file"]
    if asked["do"] == "open":
        files[number] = open_paged(sent, "", Wish(asked["dpi"], asked["password"], asked["max_pixels"]))
        return {"pages": len(files[number])}, b"", None
    if asked["do"] == "measure":
        width, height = files[number].measure(asked["page"])
        return {"width": width, "height": height}, b"", None
    page = files[number].read(asked["page"])
    text = b"" if page.text is None else page.text.encode("utf-8", "surrogatepass")
    size = {"width": page.image.width, "height": page.image.height}
    return {**size, "dpi": page.dpi, "text": None if page.text is None else len(text)}, text, page.image


def _receive(requests: BinaryIO, length: int) -> BinaryIO:
    file = BytesIO() if length <= _IN_MEMORY else cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115 - kept
    for start in range(0, length, _BLOCK):
        file.write(read_bytes(requests, min(_BLOCK, length - start)))
    file.seek(0)
    return file


def _bands(text: bytes, image: Image.Image | None) -> Iterator[bytes]:
    """The text, then rows of pixels, a few at a time: a large page need not be in memory twice."""
    yield text
    if image is not None:
        rows = max(1, _BLOCK // (3 * image.width))
        for top in range(0, image.height, rows):
            yield image.crop((0, top, image.width, min(top + rows, image.height))).tobytes()


def _take_stdout() -> BinaryIO:
    """Standard output for answers alone; what a decoder prints goes nowhere."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    return answers


def _limit(name: str, most: int) -> None:
    """Where the machine has such a limit; one that is already stricter stays."""
    kind = getattr(resource, name, None)
    if resource is None or kind is None:
        return
    _, hard = resource.getrlimit(kind)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    with suppress(ValueError, OSError):  # Some systems know a limit's name and nothing else of it.
        resource.setrlimit(kind, (most, hard if name == "RLIMIT_CPU" else most))


def _limit_processor(seconds: float) -> None:
    """From now on: a busy machine costs a page nothing, and an orphan that goes round in circles ends."""
    _limit("RLIMIT_CPU", int(time.process_time() + seconds) + 1)


def _end_with(parent: int) -> None:
    """An orphan gets another parent, and ends."""
    while os.getppid() == parent:
        time.sleep(_POLL)
    os._exit(1)


if __name__ == "__main__":
    serve(*(int(word) for word in sys.argv[1:4]))
