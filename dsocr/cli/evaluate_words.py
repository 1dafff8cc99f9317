"""What stands behind the options of `dsocr eval`: modes, numbers, sizes and files from a person's words."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_SIDES = 64, 8192  # pixels of a drawn page


def parse_modes(text: str) -> tuple[str, ...]:
    """Such as "tiny,small"; InputError for one that is unknown, or there twice."""
    from dsocr.errors import InputError
    from dsocr.pages import get_mode

    names = tuple(get_mode(name.strip()).name for name in text.split(","))
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise InputError(f"mode {twice!r} is given twice; give each mode once")
    return names


def parse_numbers(text: str) -> tuple[int, ...]:
    """Such as "50,100"; InputError for anything else."""
    from dsocr.errors import InputError

    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise InputError(f"lengths {text!r} is no list of numbers such as 50,100,200")
    return tuple(map(int, parts))


def parse_size(text: str) -> tuple[int, int]:
    """Such as "640x640"; InputError for anything else."""
    from dsocr.errors import InputError

    width, _, height = text.partition("x")
    if not (width.isdecimal() and height.isdecimal() and _SIDES[0] <= min(int(width), int(height))):
        raise InputError(f"size {text!r} is no size in pixels such as 640x640, at least {_SIDES[0]} a side")
    if max(int(width), int(height)) > _SIDES[1]:
        raise InputError(f"size {text!r} is too large; the most is {_SIDES[1]} pixels a side")
    return int(width), int(height)


def read_prose(path: Path) -> str:
    """A plain text file; InputError where it cannot be read."""
    from dsocr.errors import FileAccessError, InputError

    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text in UTF-8; give a plain text file as --text") from None
    except OSError as error:
        raise FileAccessError(f"{path} cannot be read ({error.strerror})") from None


def find_paths(files: Sequence[str]) -> list[Path]:
    """The files that are named, and those in folders; InputError where one is missing: commands need real files."""
    from dsocr.errors import InputError
    from dsocr.pages import find_inputs

    paths = [Path(str(source)) for source in find_inputs(files)]
    missing = next((path for path in paths if not path.is_file()), None)
    if missing:
        raise InputError(f"{missing}: no such file, or a folder without pages")
    return paths
