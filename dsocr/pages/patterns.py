"""Patterns such as *.pdf and scans/**/*.png, for those whose shell leaves them as they are."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from fnmatch import fnmatch
from pathlib import Path

from dsocr.pages.names import natural_order

_MAGIC = re.compile(r"[*?\[]")


def is_pattern(path: str | os.PathLike[str]) -> bool:
    """Whether the name stands for others: it has a *, ? or [, and no file has this very name."""
    return isinstance(path, str) and _MAGIC.search(path) is not None and not os.path.lexists(path)


def match_files(pattern: str) -> tuple[Path, list[Path]]:
    """The pattern's last folder before any *, ? or [, and the files that match, page 2 before page 10.

    ** is any number of folders, none included; links to folders are not followed by it, so that no circle is endless.
    Hidden names match only where the pattern begins with a dot, too.
    """
    parts = Path(pattern).parts
    plain = next(place for place, part in enumerate(parts) if _MAGIC.search(part))
    # ** twice is no more than ** once, but would be walked once for each way to divide a path in two.
    magic = tuple(parts[place] for place in range(plain, len(parts)) if parts[place - 1 : place + 1] != ("**", "**"))
    root = Path(*parts[:plain])
    found = {path for path in _matches(root, magic) if os.path.lexists(path) and not os.path.isdir(path)}
    return root, sorted(found, key=lambda path: [natural_order(part) for part in path.parts])


def list_folder(folder: Path) -> list[Path]:
    """What lies in a folder, page 2 before page 10, without hidden things; OSError if it cannot be looked into."""
    visible = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return sorted(visible, key=lambda entry: natural_order(entry.name))


def _matches(root: Path, parts: tuple[str, ...]) -> Iterator[Path]:
    waiting = [(root, parts)]
    while waiting:
        folder, parts = waiting.pop()
        if not parts:
            yield folder
            continue
        part, rest = parts[0], parts[1:]
        entries = _entries(folder, hidden=part.startswith("."))
        if part != "**":
            waiting += [(entry, rest) for entry in entries if fnmatch(entry.name, part)]
            continue
        waiting.append((folder, rest or ("*",)))
        waiting += [(entry, parts) for entry in entries if os.path.isdir(entry) and not entry.is_symlink()]


def _entries(folder: Path, hidden: bool) -> list[Path]:
    """A folder that is none, or that may not be looked into, has nothing that matches."""
    with suppress(OSError):
        return [entry for entry in folder.iterdir() if hidden == entry.name.startswith(".")]
    return []
