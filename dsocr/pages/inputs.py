"""From what a person names to files that are safe to open: folders are expanded, pipes and devices refused."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

from dsocr.errors import FileAccessError, InputError

STDIN = "-"
SUFFIXES = frozenset({".pdf", ".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"})


def find_inputs(paths: Iterable[str | os.PathLike[str]]) -> Iterator[str | os.PathLike[str]]:
    """Each file as it was named, each folder as the files in it; never raises for what it finds.

    A missing file or an empty folder is handed on as it is, so that open_pages can say what is wrong with it while
    the caller goes on with the others.
    """
    for path in paths:
        try:
            yield from files_of(path)
        except InputError:
            yield path


def files_of(path: str | os.PathLike[str]) -> list[str | os.PathLike[str]]:
    """The path itself, or a folder's own files: no hidden ones, known suffixes only, 2 before 10.

    Folders inside the folder are left alone. InputError if nothing is left, FileAccessError if it may not be read.
    """
    if path == STDIN or not os.path.isdir(path):
        return [path]
    try:
        found = [entry for entry in Path(path).iterdir() if _is_wanted(entry)]
    except PermissionError as error:
        raise FileAccessError(f"{show(path)}: the folder may not be read; check its permissions") from error
    except OSError as error:
        raise InputError(f"{show(path)}: the folder cannot be read ({error.strerror})") from error
    if not found:
        known = ", ".join(sorted(SUFFIXES))
        raise InputError(f"{show(path)}: a directory without pages; the files in it must end in one of {known}")
    return [*sorted(found, key=_natural_order)]


def open_file(path: str | os.PathLike[str]) -> BinaryIO:
    """Opens a regular file; InputError if there is none or it is a pipe or device, FileAccessError if it is barred."""
    try:
        regular = stat.S_ISREG(os.stat(path).st_mode)  # Asked first: to open a pipe is to wait for a writer.
        file = open(path, "rb") if regular else None  # noqa: SIM115 - the caller closes it
    except FileNotFoundError as error:
        raise InputError(f"{show(path)}: no such file") from error
    except PermissionError as error:
        raise FileAccessError(f"{show(path)}: the file may not be read; check its permissions") from error
    except (OSError, ValueError) as error:
        raise InputError(f"{show(path)}: not a usable file name, or its disk fails") from error
    if file is None:
        raise InputError(f"{show(path)}: not a regular file but a pipe or device; to read from a pipe, name {STDIN}")
    return file


def show(path: str | os.PathLike[str]) -> str:
    """A name as it may stand in a one-line message: line breaks and other invisible characters escaped."""
    letters = (letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in str(path))
    return "".join(letters) or "''"


def _is_wanted(entry: Path) -> bool:
    return not entry.name.startswith(".") and entry.suffix.lower() in SUFFIXES and not entry.is_dir()


def _natural_order(entry: Path) -> tuple[list[str | int], str]:
    """Page 2 before page 10; every second part of the split is a number, so that like meets like."""
    parts = re.split(r"([0-9]+)", entry.name.casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], entry.name
