"""Files that are whole or not there: written aside and moved into place; what a killed run left aside is removed."""

from __future__ import annotations

import os
import platform
import re
import time
from pathlib import Path

_HOST = re.sub(r"\W", "", platform.node())[:40]
_ASIDE = re.compile(r"\.(?P<host>\w*)-(?P<process>\d+)\.part")
_LONG = 24 * 3600  # seconds; no file takes as long to write


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file at once, its folder made if need be; OSError leaves the old one as it was."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{_HOST}-{os.getpid()}.part")
    try:
        aside.write_bytes(content)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)


def is_leftover(path: Path) -> bool:
    """Whether this was written aside by somebody who is no more; ask only before writing anything oneself."""
    found = _ASIDE.fullmatch(path.name)
    if found is None:
        return False
    if found["host"] == _HOST and os.name == "posix":
        return not _runs(int(found["process"]))
    try:  # a disk that is shared with other machines: only time can tell
        return time.time() - path.stat().st_mtime > _LONG
    except OSError:
        return False


def clear_leftovers(root: Path) -> None:
    """Remove what killed runs left aside in a folder and all below."""
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names if name.endswith(".part")):
            if is_leftover(path):
                path.unlink(missing_ok=True)


def _runs(process: int) -> bool:
    """Whether there is such a process and it is another one than this."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # it belongs to somebody else
        return True
    return process != os.getpid()
