"""From what a person names to files that are safe to open: folders, patterns and archives become what is in them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from dsocr.errors import FileAccessError, InputError
from dsocr.pages.archives import ARCHIVE, ArchiveLimits, Archives, Member
from dsocr.pages.formats import recognise_archive
from dsocr.pages.names import show as show
from dsocr.pages.patterns import is_pattern, list_folder, match_files
from dsocr.pages.urls import is_url, name_of_url

STDIN = "-"
SUFFIXES = frozenset({".pdf", ".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".tif", ".tiff", ".bmp", ".gif"})
SUFFIXES |= {".heic", ".heif"}


@dataclass(frozen=True)
class Input:
    """One document to read, and its name within what a person named, so that answers can lie as the inputs do.

    source: what open_pages takes. name: parts divided by "/", without the folder that was named: "letters/page.pdf" in
    a tree, "scans.zip/letters/page.pdf" in an archive, else the file's own name. Two inputs may have the same name.
    """

    source: str | os.PathLike[str]
    name: str


@dataclass
class LeftOut:
    """What lies in the folders that a person named, in plain sight, and is no input; links are to folders."""

    files: list[Path] = field(default_factory=list)
    folders: list[Path] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)


def find_inputs(
    paths: Iterable[str | os.PathLike[str]], *, recursive: bool = False
) -> Iterator[str | os.PathLike[str]]:
    """The sources of walk_inputs, for those who need no names."""
    return (found.source for found in walk_inputs(paths, recursive=recursive))


def walk_inputs(
    paths: Iterable[str | os.PathLike[str]],
    *,
    recursive: bool = False,
    limits: ArchiveLimits | None = None,
    left_out: LeftOut | None = None,
) -> Iterator[Input]:
    """Each file as it was named, each folder, pattern and archive as the files in it; never raises for what it finds.

    recursive: also the folders in a folder, but no links to folders. A missing file, an empty folder or a damaged
    archive is handed on as it is, so that open_pages can say what is wrong with it while the caller goes on with the
    others. In folders, files are told by their endings, archives among them; what is passed over goes to left_out.
    """
    archives, left_out = Archives(open_input, limits), LeftOut() if left_out is None else left_out
    for path in paths:
        if path == STDIN:
            yield Input(path, "stdin")
        elif is_url(path):
            yield Input(path, name_of_url(str(path)))
        elif is_pattern(path):
            yield from _walk_pattern(str(path), archives)
        elif os.path.isdir(path):
            yield from _walk_folder(Path(path), recursive, archives, left_out)
        else:
            yield from _walk_file(path, Path(path).name or show(path), archives)


def files_of(path: str | os.PathLike[str], archives: Archives | None = None) -> list[str | os.PathLike[str]]:
    """The path itself, or a folder's own files or an archive's members: known suffixes only, 2 before 10.

    Hidden ones, and a folder's folders and archives, are left alone. InputError if nothing is left, FileAccessError if
    it may not be read.
    """
    if path == STDIN or isinstance(path, Member):
        return [path]
    if os.path.isdir(path):
        return [*_files_of_folder(Path(path))]
    if _is_archive(path):
        return [*_members(path, archives or Archives(open_input))]
    return [path]


def holds_documents(path: str | os.PathLike[str]) -> bool:
    """Whether it is a folder or an archive, whose files are documents each of their own."""
    return path != STDIN and not isinstance(path, Member) and (os.path.isdir(path) or _is_archive(path))


def open_input(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a regular file or an archive's member; InputError if there is none, FileAccessError if it is barred.

    The path "scans.zip/page.pdf" leads to the member of that name where scans.zip is no folder.
    """
    member = path if isinstance(path, Member) else _find_member(path)
    if member:
        return member.open()
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)  # Asked first: to open a pipe is to wait for a writer.
        file = open(path, "rb") if regular else None  # noqa: SIM115 - the caller closes it
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{show(path)}: no such file") from error
    except PermissionError as error:
        raise FileAccessError(f"{show(path)}: the file may not be read; check its permissions") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{show(path)}: not a usable file name, or its disk fails") from error
    if file is None:
        raise InputError(f"{show(path)}: not a regular file but a pipe or device; to read from a pipe, name {STDIN}")
    return file


def _walk_pattern(pattern: str, archives: Archives) -> Iterator[Input]:
    root, files = match_files(pattern)
    for file in files:
        yield from _walk_file(file, file.relative_to(root).as_posix(), archives)
    if not files:
        yield Input(pattern, show(pattern))


def _walk_folder(root: Path, recursive: bool, archives: Archives, left_out: LeftOut) -> Iterator[Input]:
    waiting, empty = [root], True
    while waiting:
        folder = waiting.pop()
        try:
            entries = list_folder(folder)
        except OSError:
            entries, empty = [], False
            yield Input(folder, folder.name)  # Whoever opens it is told why this cannot be done.
        below: list[Path] = []
        for entry in entries:
            if os.path.isdir(entry):
                (left_out.links if entry.is_symlink() else below if recursive else left_out.folders).append(entry)
            elif _is_wanted(entry) or ARCHIVE.search(entry.name):
                empty = False
                yield from _walk_file(entry, entry.relative_to(root).as_posix(), archives)
            else:
                left_out.files.append(entry)
        waiting += reversed(below)
    if empty:
        yield Input(root, root.name)


def _walk_file(path: str | os.PathLike[str], name: str, archives: Archives) -> Iterator[Input]:
    try:
        found = files_of(path, archives)
    except InputError:
        found = [path]
    for file in found:
        within = f"/{file.name}" if isinstance(file, Member) and file is not path else ""
        yield Input(file, name + within)


def _files_of_folder(folder: Path) -> list[Path]:
    try:
        found = [entry for entry in list_folder(folder) if _is_wanted(entry)]
    except PermissionError as error:
        raise FileAccessError(f"{show(folder)}: the folder may not be read; check its permissions") from error
    except OSError as error:
        raise InputError(f"{show(folder)}: the folder cannot be read ({error.strerror})") from error
    if not found:
        known = ", ".join(sorted(SUFFIXES))
        raise InputError(f"{show(folder)}: a directory without pages; the files in it must end in one of {known}")
    return found


def _is_wanted(entry: Path) -> bool:
    return entry.suffix.lower() in SUFFIXES and not os.path.isdir(entry)


def _is_archive(path: str | os.PathLike[str]) -> bool:
    try:
        with open_input(path) as file:
            return recognise_archive(file) is not None
    except (InputError, OSError):
        return False


def _members(archive: str | os.PathLike[str], archives: Archives) -> list[Member]:
    try:
        return archives.members(str(archive), SUFFIXES)
    except InputError as error:
        raise type(error)(f"{show(archive)}: {error}") from error


def _find_member(path: str | os.PathLike[str]) -> Member | None:
    """The member that a path leads to through an archive; None where the path is that of a file, or of nothing."""
    if os.path.lexists(path):
        return None
    archive = next((parent for parent in Path(path).parents if os.path.isfile(parent)), None)
    if archive is None or not _is_archive(archive):
        return None
    name = Path(path).relative_to(archive).as_posix()
    return next((member for member in _members(archive, Archives(open_input)) if member.name == name), None)
