"""Compiles the core on request: `python -m dsocr.kernels.build` (a C++ compiler is all it needs)."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

from dsocr.errors import InputError
from dsocr.kernels.library import LEVELS, LIBRARIES, SOURCES, Level, library_path

COMPILERS = ("c++", "g++", "clang++")
OPTIONS = ("-std=c++17", "-O3", "-fPIC", "-shared", "-fno-math-errno", "-fno-trapping-math")
THREADS = "-fopenmp"


def build() -> list[Path]:
    """Compile a library for each instruction set of this kind of CPU into `lib/`; gives the paths.

    Raises InputError when there is no compiler or it fails.
    """
    compiler = find_compiler()
    LIBRARIES.mkdir(exist_ok=True)
    built = [compile_level(compiler, level) for level in levels_for(platform.machine())]
    for path in set(LIBRARIES.glob("core-*.so")) - set(built):
        path.unlink(missing_ok=True)  # of older sources
    return built


def find_compiler() -> str:
    """The first C++ compiler on the path; InputError when there is none."""
    found = next(filter(None, map(shutil.which, COMPILERS)), None)
    if found is None:
        raise InputError(f"no C++ compiler found (looked for {', '.join(COMPILERS)}); install one, for example g++")
    return found


def levels_for(machine: str) -> list[Level]:
    """The levels that a machine of this name can compile: all on x86, else the plain one."""
    return [level for level in LEVELS if not level.features or machine.lower() in ("x86_64", "amd64")]


def compile_level(compiler: str, level: Level) -> Path:
    """Compile all sources into one library; it appears under its name only when it is whole."""
    path = library_path(level)
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    sources = [str(source) for source in sorted(SOURCES.glob("*.cpp"))]
    command = [compiler, *OPTIONS, *level.options, *sources, "-o", str(unfinished)]
    # Apple's compiler comes without OpenMP: the core then runs on one thread.
    for options in ([THREADS], ["-Wno-unknown-pragmas"]):
        done = subprocess.run(command + options, capture_output=True, text=True, check=False)
        if done.returncode == 0:
            os.replace(unfinished, path)
            return path
    unfinished.unlink(missing_ok=True)
    raise InputError(f"{compiler} cannot compile the {level.name} core:\n{done.stderr.strip()}")


if __name__ == "__main__":
    try:
        for path in build():
            print(f"built {path}")
    except InputError as error:
        sys.exit(str(error))
