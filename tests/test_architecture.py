"""The house stands: imports only go down, rooms on one floor are strangers, the README's map is true."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

HOUSE = Path(__file__).parents[1] / "dsocr"
FLOORS = (
    {"errors", "version"},
    {"views", "document", "prompts", "kernels"},
    {"pages", "model"},
    {"engine"},
    {"rescue", "elsewhere"},
    {"reading"},
    {"ocr"},
    {"remote"},
    {"server", "jobs", "compat", "bench", "evaluation", "training", "ocrmypdf", "doctor"},
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


def first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def map_of_the_house() -> list[str]:
    """One line for each file with its own first sentence, the package's own files first."""
    mapped = [HOUSE / "__init__.py", *sorted(files(), key=lambda path: (len(path.relative_to(HOUSE).parts) > 1, path))]
    width = max(len(str(path.relative_to(HOUSE))) for path in mapped)
    shown = [path for path in mapped if path.name != "__init__.py" or path.parent == HOUSE]
    return [f"dsocr/{path.relative_to(HOUSE)!s:{width}}  {first_line(path)}" for path in shown]


def test_the_map_in_the_readme_is_each_files_own_first_sentence() -> None:
    """`python tests/test_architecture.py` prints the map as it should be."""
    shown = [line for line in (HOUSE.parent / "README.md").read_text().splitlines() if line.startswith("dsocr/")]
    assert shown == map_of_the_house()


def test_every_file_opens_with_a_sentence() -> None:
    assert not [path for path in files() if path.name != "__init__.py" and not first_line(path).strip()]


if __name__ == "__main__":
    print("\n".join(map_of_the_house()))
