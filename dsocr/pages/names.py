"""Names as they may be shown in one line, put in order and used again, whoever chose them."""

from __future__ import annotations

import os
import re

_SEPARATORS = re.compile(r"[/\\]+")
_PART_LETTERS = 120  # of a name that a stranger chose; what lies between its two ends is left out
_DEPTH = 8  # folders within folders that such a name may lead through; those above are left out


def show(path: str | os.PathLike[str]) -> str:
    """A name as it may stand in a one-line message: line breaks and other invisible characters escaped."""
    letters = (letter if letter.isprintable() else letter.encode("unicode_escape").decode() for letter in str(path))
    return "".join(letters) or "''"


def tame(name: str) -> str:
    """A stranger's path as one that stays below the folder it is put into: "../../etc/x.pdf" becomes "etc/x.pdf".

    Parts are divided by "/"; there is none that leads upwards, to a drive or to a root, and none beyond 120 letters.
    """
    parts = [_tame_part(part) for part in _SEPARATORS.split(name) if part.strip(". ")]
    return "/".join(parts[-_DEPTH:]) or "unnamed"


def natural_order(name: str) -> tuple[list[str | int], str]:
    """A key that sorts page 2 before page 10, and a folder's files beside one another."""
    # Every second part of the split is a number, so that like meets like.
    parts = re.split(r"([0-9]{1,18})", name.casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def _tame_part(part: str) -> str:
    # A colon would name a drive or a hidden stream of a file; show() writes what is invisible with a backslash.
    shown = show(part).replace("\\", "_").replace(":", "_")
    half = _PART_LETTERS // 2
    return shown if len(shown) <= _PART_LETTERS else f"{shown[:half]}…{shown[1 - half :]}"
