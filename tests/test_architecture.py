"""The house stands: imports only go down, rooms on one floor are strangers, the README's map is true."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
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


def map_of_the_files() -> list[str]:
    """One line for each file with its own first sentence, the package's own files first."""
    mapped = [HOUSE / "__init__.py", *sorted(files(), key=lambda path: (len(path.relative_to(HOUSE).parts) > 1, path))]
    return told(path for path in mapped if path.name != "__init__.py" or path.parent == HOUSE)


def map_of_the_house() -> list[str]:
    """The same with one line for each room, which says what its `__init__.py` does."""
    rooms = [path if path.is_file() else path / "__init__.py" for path in sorted(HOUSE.iterdir())]
    known = [
        path for path in rooms if path.suffix == ".py" and path.is_file() and room_of(path) in {"__init__", *FLOOR}
    ]
    return told(sorted(known, key=lambda path: -FLOOR.get(room_of(path), len(FLOORS))))


def told(paths: Iterable[Path]) -> list[str]:
    """Names in one column, first sentences in the other."""
    named = {str(path.relative_to(HOUSE)): first_line(path) for path in paths}
    named = {name.removesuffix("__init__.py") if "/" in name else name: line for name, line in named.items()}
    width = max(map(len, named))
    return [f"dsocr/{name:{width}}  {line}" for name, line in named.items()]


def lines_of_the_map(document: Path) -> list[str]:
    return [line for line in document.read_text().splitlines() if line.startswith("dsocr/")]


def test_the_map_in_the_readme_is_each_rooms_own_first_sentence() -> None:
    """`python tests/test_architecture.py` writes both maps as they should be."""
    assert lines_of_the_map(HOUSE.parent / "README.md") == map_of_the_house()


def test_the_map_of_the_files_is_each_files_own_first_sentence() -> None:
    assert lines_of_the_map(HOUSE.parent / "docs" / "map.md") == map_of_the_files()


def test_every_file_opens_with_a_sentence() -> None:
    assert not [path for path in files() if path.name != "__init__.py" and not first_line(path).strip()]


def write_map(document: Path, lines: list[str]) -> None:
    before, _, rest = document.read_text().partition("\n```text\n")
    _, _, after = rest.partition("\n```")
    document.write_text("\n".join([before, "```text", *lines, "```"]) + after)


if __name__ == "__main__":
    write_map(HOUSE.parent / "README.md", map_of_the_house())
    write_map(HOUSE.parent / "docs" / "map.md", map_of_the_files())
