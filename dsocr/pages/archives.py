"""The files in a zip or tar archive, read where they lie: nothing is ever unpacked under a name of its own."""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import re
import stat
import tarfile
import tempfile
import threading
import weakref
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from io import BytesIO
from pathlib import PurePosixPath
from typing import BinaryIO, Protocol, cast

from dsocr.errors import EncryptedError, InputError
from dsocr.pages.formats import recognise_archive
from dsocr.pages.names import natural_order, show, tame

ARCHIVE = re.compile(r"\.(zip|cbz|tgz|tbz2?|txz|tar(\.(gz|bz2|xz))?)$", re.IGNORECASE)  # what may be one by its name
_INNER_ARCHIVE = re.compile(r"\.(zip|cbz|7z|rar|tgz|tbz2|txz|tar(\.\w{1,4})?)$", re.IGNORECASE)
# A zip with one of these is an office file or an e-book; its pictures are parts of pages and no pages.
_OFFICE = frozenset({"[Content_Types].xml", "mimetype"})
_LINK = "a link or device in an archive is not followed"
_OPEN = 2  # archives at a time: one for those who read, one for those who count
_BLOCK = 2**20
_MOST_AT_ONCE = 4 * 2**20  # bytes; the list of contents of so few members is never larger
_XZ_MEMORY = 128 * 2**20  # bytes; the hardest setting of xz needs half of it
_WHITE = 64 * 2**20  # bytes; up to here any few may stand for so many, as in a scan of an empty page


@dataclass(frozen=True)
class ArchiveLimits:
    """What an archive may hold: members, bytes of one and of all when unpacked, bytes that come of one packed byte."""

    members: int = 10_000
    member_bytes: int = 200 * 2**20
    total_bytes: int = 2 * 2**30
    ratio: int = 200


@dataclass(frozen=True)
class Member(os.PathLike[str]):
    """A file in an archive. Its path, "scans.zip/letters/page.pdf", is one that only open_pages can open."""

    archive: str
    name: str
    _entry: _Entry = field(repr=False)
    _contents: Callable[[], _Contents] = field(repr=False, compare=False)

    def __fspath__(self) -> str:
        """The archive's path and the member's name."""
        return f"{self.archive}/{self.name}"

    __str__ = __fspath__

    def open(self) -> BinaryIO:
        """The member's bytes, in memory; InputError if it is not to be had, EncryptedError if it is locked."""
        if self._entry.fault:
            raise type(self._entry.fault)(f"{show(self)}: {self._entry.fault}")
        contents = self._contents()
        with _parsing(f"{show(self)}: it is damaged in the archive; get a fresh copy of it"):
            return BytesIO(contents.read(self._entry))


class Archives:
    """Archives that members are read from: few are open at a time, the others are opened anew when they are asked."""

    def __init__(self, open_file: Callable[[str], BinaryIO], limits: ArchiveLimits | None = None) -> None:
        """open_file: opens the file of an archive."""
        self._open_file, self._limits = open_file, limits or ArchiveLimits()
        self._open: dict[str, tuple[_Contents, tuple[int, int]]] = {}
        self._one_at_a_time = threading.Lock()

    def members(self, archive: str, suffixes: Iterable[str]) -> list[Member]:
        """As list_members; they open the archive when they must, and find fault with it if it is another one then."""
        contents, stamp = self._opened(archive)
        return _list(contents, partial(self._same, archive, stamp), archive, suffixes, self._limits)

    def _same(self, archive: str, stamp: tuple[int, int]) -> _Contents:
        contents, now = self._opened(archive)
        if now != stamp:
            raise InputError(f"{show(archive)}: the archive has changed since it was looked into; start again")
        return contents

    def _opened(self, archive: str) -> tuple[_Contents, tuple[int, int]]:
        with self._one_at_a_time:
            found = self._open.pop(archive, None)
            if found is None:
                # Those that nobody reads any more are closed when they are dropped.
                while len(self._open) >= _OPEN:
                    del self._open[next(iter(self._open))]
                file = self._open_file(archive)
                about = os.fstat(file.fileno())
                found = _open(file, self._limits), (about.st_mtime_ns, about.st_size)
            self._open[archive] = found
            return found


def list_members(
    file: BinaryIO, archive: str, suffixes: Iterable[str], limits: ArchiveLimits | None = None
) -> list[Member]:
    """The members with one of these suffixes, page 2 before page 10; the open archive is theirs from now on.

    Those that must not be opened (locked ones, links, archives, all beyond the limits) are among them, and say so when
    they are. Hidden ones and folders are left out. InputError if nothing is left, or if the archive is damaged.
    """
    limits = limits or ArchiveLimits()
    contents = _open(file, limits)
    return _list(contents, lambda: contents, archive, suffixes, limits)


def _list(
    contents: _Contents,
    again: Callable[[], _Contents],
    archive: str,
    suffixes: Iterable[str],
    limits: ArchiveLimits,
) -> list[Member]:
    """The members in order; again: the contents, whenever one of them is opened."""
    found = [entry for entry in _listed(contents, limits) if entry.place is None or _is_wanted(entry.name, suffixes)]
    if not found:
        raise InputError(f"an archive without pages; the files in it must end in one of {', '.join(sorted(suffixes))}")
    found.sort(key=lambda entry: (entry.place is None, natural_order(tame(entry.name))))
    names = _unique(tame(entry.name) for entry in found)
    entries = _within(found, limits.total_bytes)
    return [Member(archive, name, entry, again) for name, entry in zip(names, entries, strict=True)]


@dataclass(frozen=True)
class _Entry:
    """A member as the archive lists it, and what speaks against reading it."""

    name: str
    size: int
    place: zipfile.ZipInfo | int | None  # None: what could not be listed
    fault: InputError | None = None


class _Contents(Protocol):
    """An open archive, which stays open as long as anybody holds it."""

    def entries(self) -> Iterator[_Entry | None]:
        """The members in their order, None for a folder; InputError where the archive is damaged."""

    def read(self, entry: _Entry) -> bytes:
        """A member's bytes, no more than its entry says."""


class _Zip:
    """The contents of a zip file."""

    def __init__(self, file: BinaryIO, limits: ArchiveLimits) -> None:
        self._limits = limits
        weakref.finalize(self, file.close)
        with _parsing("the archive is damaged or cut short; get a fresh copy of it"):
            self._zip = zipfile.ZipFile(cast(BinaryIO, _Sips(file)))
        if not _OFFICE.isdisjoint(self._zip.namelist()):
            raise InputError("an office file or e-book and no archive of pages; save it as PDF")

    def entries(self) -> Iterator[_Entry | None]:
        for info in self._zip.infolist():
            yield None if info.is_dir() else _Entry(info.filename, info.file_size, info, self._fault(info))

    def read(self, entry: _Entry) -> bytes:
        assert isinstance(entry.place, zipfile.ZipInfo)
        with self._zip.open(entry.place) as member:
            return b"".join(iter(lambda: member.read(_BLOCK), b""))

    def _fault(self, info: zipfile.ZipInfo) -> InputError | None:
        if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG):
            return InputError(_LINK)
        if info.flag_bits & 1:
            return EncryptedError("it is locked in the archive; unpack the archive with its password first")
        if info.file_size > max(_WHITE, info.compress_size * self._limits.ratio):
            return InputError(f"{info.file_size:,} bytes packed into {info.compress_size:,} are no page")
        return _too_large(info.file_size, self._limits)


class _Tar:
    """The contents of a tar file that is not compressed, or no longer so; damage is what its end was lost to."""

    def __init__(self, file: BinaryIO, limits: ArchiveLimits, damage: InputError | None = None) -> None:
        self._file, self._limits, self._damage = file, limits, damage
        self._bytes = file.seek(0, os.SEEK_END)
        self._one_at_a_time = threading.Lock()
        weakref.finalize(self, file.close)

    def entries(self) -> Iterator[_Entry | None]:
        self._file.seek(0)
        with _parsing(str(self._damage or "the archive is damaged or cut short here; get a fresh copy of it")):
            tar = tarfile.open(fileobj=cast(BinaryIO, _Sips(self._file)), mode="r:")  # noqa: SIM115 - holds nothing
            while (info := tar.next()) is not None:
                yield None if info.isdir() else _Entry(info.name, info.size, info.offset_data, self._fault(info))
        if self._damage:
            raise self._damage

    def read(self, entry: _Entry) -> bytes:
        assert isinstance(entry.place, int)
        with self._one_at_a_time:
            self._file.seek(entry.place)
            return self._file.read(entry.size)

    def _fault(self, info: tarfile.TarInfo) -> InputError | None:
        if not info.isreg():
            return InputError(_LINK)
        if info.issparse():
            return InputError("a file with holes in an archive is not read; unpack it first")
        if info.size < 0 or info.offset_data + info.size > self._bytes:
            return self._damage or InputError("it is cut short in the archive; get a fresh copy of it")
        return _too_large(info.size, self._limits)


class _Sips:
    """A file that is never read in one gulp, whatever a number in the archive asks for."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.seek, self.tell, self.seekable = file.seek, file.tell, file.seekable

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size if 0 <= size <= _MOST_AT_ONCE else _MOST_AT_ONCE + 1)
        if len(data) > _MOST_AT_ONCE:
            raise EOFError("more at once than a list of contents can have")
        return data


def _open(file: BinaryIO, limits: ArchiveLimits) -> _Contents:
    kind = recognise_archive(file)
    if kind == "zip":
        return _Zip(file, limits)
    if kind == "tar":
        return _Tar(file, limits)
    if kind is None:
        raise InputError("no archive, or no more")
    with file:
        return _unpack(file, kind, limits)


def _unpack(file: BinaryIO, kind: str, limits: ArchiveLimits) -> _Tar:
    """A compressed tar as a plain one in a file without a name, as far as it is sound and within the limits."""
    packed = file.seek(0, os.SEEK_END)
    file.seek(0)
    most = min(limits.total_bytes, max(_WHITE, packed * limits.ratio))
    plain, damage = cast(BinaryIO, tempfile.TemporaryFile()), None  # noqa: SIM115 - _Tar closes it
    try:
        for block in _sound_blocks(_STREAMS[kind](file)):
            plain.write(block[: most - plain.tell()])
            if plain.tell() == most:
                raise InputError(f"the archive unpacks to more than the limit of {most:,} bytes; unpack it first")
    except InputError as error:
        damage = type(error)(str(error))
    except OSError as error:
        plain.close()
        raise InputError(f"the archive cannot be unpacked here ({error.strerror})") from error
    if recognise_archive(plain) != "tar":
        plain.close()
        raise damage or InputError("a compressed file that holds no tar archive; unpack it first")
    return _Tar(plain, limits, damage)


def _sound_blocks(blocks: Iterator[bytes]) -> Iterator[bytes]:
    while True:
        with _parsing("the archive is damaged or cut short here; get a fresh copy of it"):
            block = next(blocks, None)
        if block is None:
            return
        yield block


def _blocks(stream: gzip.GzipFile | bz2.BZ2File) -> Iterator[bytes]:
    with stream:
        # A larger gulp would lose, with a damaged place, what is sound before it.
        yield from iter(lambda: stream.read1(_BLOCK), b"")


def _xz_blocks(file: BinaryIO) -> Iterator[bytes]:
    """Unlike the library's own file, with a limit to the memory that an archive may ask for."""
    data = file.read(_BLOCK)
    while data:  # One stream may follow another.
        unpacker = lzma.LZMADecompressor(memlimit=_XZ_MEMORY)
        while not unpacker.eof:
            yield unpacker.decompress(data, max_length=_BLOCK)
            data = file.read(_BLOCK) if unpacker.needs_input else b""
            if unpacker.needs_input and not data:
                raise EOFError
        data = unpacker.unused_data.lstrip(b"\0") or file.read(_BLOCK)


_STREAMS: dict[str, Callable[[BinaryIO], Iterator[bytes]]] = {
    "gzip": lambda file: _blocks(gzip.GzipFile(fileobj=file)),
    "bzip2": lambda file: _blocks(bz2.BZ2File(file)),
    "xz": _xz_blocks,
}


@contextmanager
def _parsing(refusal: str) -> Iterator[None]:
    """Whatever reading an archive raises means one thing, and what was raised is a stranger's word."""
    try:
        yield
    except Exception as error:
        raise InputError(refusal) from error


def _listed(contents: _Contents, limits: ArchiveLimits) -> Iterator[_Entry]:
    """The entries; where the archive ends before its time, a last one says so."""
    count = 0
    try:
        for entry in contents.entries():
            count += 1
            if count > limits.members:
                raise InputError(f"the archive holds more than {limits.members:,} files; divide it")
            if entry:
                yield entry
    except InputError as error:
        if not count:
            raise
        # The error itself would hold on to the archive, by way of where it was raised.
        yield _Entry("the rest", 0, None, type(error)(str(error)))


def _within(entries: list[_Entry], most: int) -> Iterator[_Entry]:
    """The entries; those with which all together would be too large are refused."""
    total = 0
    for entry in entries:
        size = 0 if entry.fault else entry.size
        if total + size > most:
            fault = InputError(f"with it, more than {most:,} bytes of the archive would be read; divide it")
            yield replace(entry, fault=fault)
        else:
            total += size
            yield entry


def _too_large(size: int, limits: ArchiveLimits) -> InputError | None:
    if size <= limits.member_bytes:
        return None
    return InputError(f"{size:,} bytes unpacked are more than the limit of {limits.member_bytes:,}; unpack it first")


def _is_wanted(name: str, suffixes: Iterable[str]) -> bool:
    """An archive is wanted, too, so that it is not passed over without a word."""
    path = PurePosixPath(tame(name))
    visible = not path.name.startswith(".")
    return visible and (path.suffix.lower() in suffixes or _INNER_ARCHIVE.search(path.name) is not None)


def _unique(names: Iterable[str]) -> Iterator[str]:
    """The names; one that has been there before gets a number."""
    taken: dict[str, int] = {}
    for name in names:
        path, free = PurePosixPath(name), name
        while free.casefold() in taken:
            number = taken[name.casefold()] = taken.get(name.casefold(), 1) + 1
            free = str(path.with_name(f"{path.stem}-{number}{path.suffix}"))
        taken[free.casefold()] = taken.get(free.casefold(), 1)
        yield free
