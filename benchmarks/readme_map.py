"""Prints the map that the README shows: each file of the package with its own first line.

python benchmarks/readme_map.py
"""

from __future__ import annotations

import ast
from pathlib import Path

HOUSE = Path(__file__).parents[1] / "dsocr"


def map_lines() -> list[str]:
    """One line for each file, the package's own first."""
    files = [path for path in HOUSE.rglob("*.py") if path.name != "__init__.py" or path.parent == HOUSE]
    files.sort(key=lambda path: (len(path.relative_to(HOUSE).parts) > 1, path))
    width = max(len(str(path.relative_to(HOUSE))) for path in files)
    return [f"dsocr/{path.relative_to(HOUSE)!s:{width}}  {first_line(path)}" for path in files]


def first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "?").splitlines()[0]


if __name__ == "__main__":
    print("\n".join(map_lines()))
