"""Files opened in a child process: a crash, a hang or a flood of memory in a decoder costs a page and not the run."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, BinaryIO

from PIL import Image

from dsocr.errors import EncryptedError, InputError
from dsocr.pages.formats import PagedFile, Wish
from dsocr.pages.frames import read_bytes, read_frame, write_frame
from dsocr.pages.page import DEFAULT_MAX_PIXELS, Page

DEFAULT_SECONDS = 60.0
_PATIENCE = 5  # seconds on the clock for one of the processor ...
_START = 60.0  # ... and so many more, on a machine that has other things to do
DEFAULT_MEMORY = 4 * 2**30  # bytes; a page at the usual limit of pixels takes some two thirds of it
_MOST_MEMORY = 2**60  # bytes; systems count in 63 bits
_FILE_BYTES = 4 * 2**30
_TEXT_BYTES = 8 * 2**20
_DEATHS = 3  # that one file may cause, with no page in between, before its other pages are given up
_BLOCK = 2**20
_KINDS = {kind.__name__: kind for kind in (InputError, EncryptedError)}
_CRASH = "its decoder crashed or ran out of memory; the file is damaged, or made to do harm"
# The child finds the modules that its parent finds, and never one that happens to lie in the current folder.
_PROGRAM = """
import sys
sys.path[:] = sys.argv[4:]
from dsocr.pages.child import serve
serve(*map(int, sys.argv[1:4]))
"""


def memory_for(max_pixels: int) -> int:
    """Bytes of address space that a child needs whose pages may have so many pixels."""
    return min(_MOST_MEMORY, DEFAULT_MEMORY * max(1, -(-max_pixels // DEFAULT_MAX_PIXELS)))


class Child:
    """A process that opens files, any number of them; it starts with the first, and anew when it has died."""

    def __init__(self, *, seconds: float = DEFAULT_SECONDS, memory: int = DEFAULT_MEMORY) -> None:
        """seconds: of a processor, for opening a file or drawing a page; a clock stops what uses none, much later.

        memory: bytes of address space. Where a system cannot limit processor or memory, there is only the clock.
        """
        self._seconds, self._memory = seconds, memory
        self._life: _Life | None = None
        self.numbers = itertools.count(1)
        # Who asks for a page may first have to open its file again, and nobody may come between the two.
        self._one_at_a_time = threading.Lock()

    def open(self, file: BinaryIO, source: str, wish: Wish) -> PagedFile:
        """The file, opened there; it must stay open here, too, for another life. Raises what open_paged raises."""
        return _FileApart(self, file, source, wish)

    def start(self) -> None:
        """Starts the process now, so that it is ready when the first file comes; nothing waits for it."""
        with self.alone():
            pass

    @contextmanager
    def alone(self) -> Iterator[_Life]:
        """The life that it leads now; nobody else asks it meanwhile."""
        with self._one_at_a_time:
            if self._life is None or self._life.over:
                self._life = _Life(self._seconds, self._memory)
            yield self._life

    @property
    def number(self) -> int | None:
        """The number that the system knows the process by, while it lives."""
        return None if self._life is None or self._life.over else self._life.number

    def close(self) -> None:
        """Ends the process at once, also where it is in the middle of a page that somebody waits for."""
        life = self._life
        if life is not None:
            life.end()

    def __enter__(self) -> Child:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _FileApart:
    """A file that a child has open; as many lives as that has, as often it is opened."""

    def __init__(self, child: Child, file: BinaryIO, source: str, wish: Wish) -> None:
        self._child, self._file, self._source, self._wish = child, file, source, wish
        self._number, self._deaths = next(child.numbers), 0
        with child.alone() as life:
            self._open(life)

    def __len__(self) -> int:
        return self._pages

    def read(self, number: int) -> Page:
        return _to_page(self._ask("read", number, self._most()), self._source, number)

    def measure(self, number: int) -> tuple[int, int]:
        answer = self._ask("measure", number)
        return int(answer.header["width"]), int(answer.header["height"])

    def close(self) -> None:
        self._life.forget(self._number)

    def _ask(self, do: str, number: int, most: int = 0) -> _Answer:
        """What the child says of a page, in whose life the file is opened anew where that must be."""
        if self._deaths == _DEATHS:
            raise InputError(f"not tried, as the file has ended its reader {_DEATHS} times in a row")
        try:
            with self._child.alone() as life:
                if life is not self._life:
                    self._open(life)
                answer = life.ask({"do": do, "file": self._number, "page": number}, most=most)
        except _Died:
            self._deaths += 1
            raise
        self._deaths = 0
        return answer

    def _open(self, life: _Life) -> None:
        wish = {"dpi": self._wish.dpi, "password": self._wish.password, "max_pixels": self._wish.max_pixels}
        answer = life.ask({"do": "open", "file": self._number, **wish}, self._file)
        self._life, self._pages = life, int(answer.header["pages"])

    def _most(self) -> int:
        """Bytes of a page; a PDF's, asked by its size in points, may be a pixel larger each way than its limit."""
        return 2 * 3 * self._wish.max_pixels + _TEXT_BYTES


@dataclass(frozen=True)
class _Answer:
    """What the child said, and the bytes that it sent along."""

    header: dict[str, Any]
    body: bytes


class _Died(InputError):
    """The child was ended: by a crash, by its own limits, or for its slowness."""


class _Life:
    """One run of the process, from its start to its end."""

    def __init__(self, seconds: float, memory: int) -> None:
        self._seconds, self._late = seconds, threading.Event()
        self._forgotten: deque[int] = deque()
        limits = (str(memory), str(_FILE_BYTES), str(os.getpid()))
        try:
            self._process = subprocess.Popen(
                (sys.executable, "-c", _PROGRAM, *limits, *sys.path),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pipesize=_BLOCK,
            )
        except OSError as error:
            raise InputError(f"no process can be started to open it in ({error.strerror})") from error
        self.number = self._process.pid
        self.end = weakref.finalize(self, _end, self._process)

    @property
    def over(self) -> bool:
        """Whether it can be asked no more."""
        return not self.end.alive or self._process.poll() is not None

    def forget(self, file: int) -> None:
        """The file is needed no more. Said with the next request: this may be called at any moment, even in one."""
        self._forgotten.append(file)

    def ask(self, request: dict[str, Any], file: BinaryIO | None = None, *, most: int = 0) -> _Answer:
        """What it answers to a request, with which the file is sent; most: bytes that may come along.

        Raises the InputError that it met, or _Died.
        """
        forget = [self._forgotten.popleft() for _ in range(min(100, len(self._forgotten)))]
        timer = threading.Timer(_START + _PATIENCE * self._seconds, self._give_up)
        timer.daemon = True
        timer.start()
        try:
            answer = _exchange(self._process, {**request, "forget": forget, "seconds": self._seconds}, file, most)
        except BaseException as error:  # Ctrl-C, too: half an answer may be on its way.
            self.end()
            if isinstance(error, (EOFError, OSError, ValueError)) and not isinstance(error, InputError):
                raise _Died(self._verdict()) from error
            raise
        finally:
            timer.cancel()
            timer.join()  # It may have gone off by now.
            if self._late.is_set():
                self.end()
        if "refusal" in answer.header:
            raise _KINDS.get(str(answer.header.get("kind")), InputError)(str(answer.header["refusal"]))
        return answer

    def _give_up(self) -> None:
        self._late.set()
        self._process.kill()

    def _verdict(self) -> str:
        """What the process died of; asked after its end."""
        late = self._late.is_set() or self._process.returncode == -getattr(signal, "SIGXCPU", 0)
        return f"not done within {self._seconds:g} seconds, and given up" if late else _CRASH


def _exchange(process: subprocess.Popen[bytes], request: dict[str, Any], file: BinaryIO | None, most: int) -> _Answer:
    assert process.stdin
    assert process.stdout
    length = file.seek(0, os.SEEK_END) if file else 0
    if length > _FILE_BYTES:
        raise InputError(
            f"the file has {length:,} bytes, more than the limit of {_FILE_BYTES:,} for one opened "
            "apart; divide it, or, if you trust it, read it with --no-apart"
        )
    write_frame(process.stdin, request, length, _blocks(file) if file else ())
    answer = read_frame(process.stdout)
    if answer.length > most:
        raise ValueError("more than a page can have")
    return _Answer(answer.header, read_bytes(process.stdout, answer.length))


def _blocks(file: BinaryIO) -> Iterator[bytes]:
    file.seek(0)
    while True:
        try:
            block = file.read(_BLOCK)
        except OSError as error:
            raise InputError("the file cannot be read to its end; its disk fails") from error
        if not block:
            return
        yield block


def _to_page(answer: _Answer, source: str, number: int) -> Page:
    """The text comes before the pixels. A child that a file has taken over could have sent anything."""
    try:
        width, height, dpi, letters = (answer.header[name] for name in ("width", "height", "dpi", "text"))
        pixels = memoryview(answer.body)[letters or 0 :]
        if not 0 < 3 * width * height == len(pixels):
            raise ValueError("no picture of that size")
        text = None if letters is None else answer.body[:letters].decode("utf-8", "surrogatepass")
        return Page(source, number, Image.frombytes("RGB", (width, height), pixels), dpi, text)
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(_CRASH) from error


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            with suppress(OSError):  # What waits to be written cannot be any more.
                pipe.close()
