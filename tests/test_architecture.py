"""The house stands: imports only go down, rooms on one floor are strangers, the README's map is true."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

HOUSE = Path(__file__).parents[1] / "dsocr"
FLOORS = (
    {"errors"},
    {"views", "document", "prompts", "kernels"},
    {"pages", "model"},
    {"engine"},
    {"ocr"},
    {"server", "jobs", "evaluation", "training"},
    {"cli"},
    {"__main__"},
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def room_of(path: Path) -> str:
    return path.relative_to(HOUSE).parts[0].removesuffix(".py")


def imports(path: Path) -> Iterator[str]:
    """The rooms a file names in its imports, also inside functions and for types."""
    for node in ast.walk(ast.parse(path.read_text())):
        names = [node.module or ""] if isinstance(node, ast.ImportFrom) else []
        names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        for name in names:
            assert not (isinstance(node, ast.ImportFrom) and node.level), f"{path}: relative import"
            if name == "dsocr":
                yield from (alias.name for alias in node.names)
            elif name.startswith("dsocr."):
                yield name.split(".")[1]


def files() -> list[Path]:
    return [path for path in sorted(HOUSE.rglob("*.py")) if path != HOUSE / "__init__.py"]


def test_every_room_has_a_floor() -> None:
    assert {room_of(path) for path in files()} <= set(FLOOR)


def test_imports_only_go_down() -> None:
    wrong = [
        f"{path.relative_to(HOUSE)} imports {room}"
        for path in files()
        for room in imports(path)
        if room in FLOOR and room != room_of(path) and FLOOR[room] >= FLOOR[room_of(path)]
    ]
    assert not wrong


def test_no_file_imports_itself_round_a_corner() -> None:
    known = {".".join(path.relative_to(HOUSE.parent).with_suffix("").parts): path for path in files()}
    graph = {name: {found for found in modules(path) if found in known} for name, path in known.items()}
    done: set[str] = set()

    def visit(name: str, above: tuple[str, ...]) -> None:
        assert name not in above, " → ".join([*above, name])
        if name not in done:
            for other in graph[name]:
                visit(other, (*above, name))
            done.add(name)

    for name in graph:
        visit(name, ())


def modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def test_each_file_opens_with_one_sentence_that_the_map_repeats() -> None:
    readme = (HOUSE.parent / "README.md").read_text()
    shown = dict(re.findall(r"^dsocr/(\S+\.py) +(.+)$", readme, re.MULTILINE))
    written = {
        str(path.relative_to(HOUSE)): (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()[0]
        for path in sorted(HOUSE.rglob("*.py"))
        if path.name != "__init__.py" or path.parent == HOUSE
    }
    assert shown == written
