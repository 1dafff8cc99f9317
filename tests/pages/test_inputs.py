"""What a person names becomes files: trees, patterns and their names."""

from __future__ import annotations

import inspect
import os
import random
import sys
from pathlib import Path

import pytest
from bad_inputs import GOOD, tarred, write_names, zipped
from hypothesis import given
from hypothesis import strategies as st

from dsocr.errors import InputError
from dsocr.pages import Input, find_inputs, open_pages, walk_inputs
from dsocr.pages.inputs import LeftOut
from dsocr.pages.names import natural_order


def plant(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(GOOD)


def names(*paths: str | Path, recursive: bool = False) -> list[str]:
    return [found.name for found in walk_inputs(paths, recursive=recursive)]


class TestTrees:
    def test_a_folder_gives_its_own_files_and_a_tree_all_of_them(self, tmp_path: Path) -> None:
        plant(tmp_path, "2.png", "10.png", "b/1.png", "a/deep/x.pdf", "a/notes.txt", ".git/1.png", "b/.1.png")
        assert names(tmp_path) == ["2.png", "10.png"]
        assert names(tmp_path, recursive=True) == ["2.png", "10.png", "a/deep/x.pdf", "b/1.png"]

    def test_a_circle_of_links_has_an_end(self, tmp_path: Path) -> None:
        plant(tmp_path, "a/1.png")
        (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
        (tmp_path / "a" / "2.png").symlink_to(tmp_path / "a" / "1.png")
        assert names(tmp_path, recursive=True) == ["a/1.png", "a/2.png"]

    def test_a_folder_without_pages_is_handed_on_to_be_refused(self, tmp_path: Path) -> None:
        plant(tmp_path, "a/b/notes.txt")
        for recursive in (False, True):
            assert list(find_inputs([tmp_path / "a"], recursive=recursive)) == [tmp_path / "a"]

    def test_a_folder_that_cannot_be_looked_into_is_handed_on_among_the_others(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        plant(tmp_path, "a/1.png", "b/1.png", "c/1.png")
        real = Path.iterdir
        monkeypatch.setattr(Path, "iterdir", lambda path: _deny() if path.name == "b" else real(path))
        found = list(find_inputs([tmp_path], recursive=True))
        assert found == [tmp_path / "a" / "1.png", tmp_path / "b", tmp_path / "c" / "1.png"]
        with pytest.raises(InputError, match="may not be read"):
            list(open_pages(tmp_path / "b"))

    def test_archives_in_a_folder_are_inputs_too(self, tmp_path: Path) -> None:
        plant(tmp_path, "1.png", "b/photo.JFIF", "b/photo.jpe")
        (tmp_path / "a.zip").write_bytes(zipped(("2.png", GOOD)))
        for name in ("c.tar.gz", "c.tgz", "b/c.TAR"):
            (tmp_path / name).write_bytes(tarred(("3.png", GOOD), mode="w:gz"))
        (tmp_path / "bad.zip").write_bytes(b"PK")
        top = ["1.png", "a.zip/2.png", "bad.zip", "c.tar.gz/3.png", "c.tgz/3.png"]
        assert names(tmp_path) == top
        assert names(tmp_path, recursive=True) == [*top, "b/c.TAR/3.png", "b/photo.JFIF", "b/photo.jpe"]

    def test_what_is_passed_over_is_known(self, tmp_path: Path) -> None:
        plant(tmp_path, "1.png", "a.docx", "scan", ".hidden.docx", "b/c/notes.txt", ".git/config", "b/2.png")
        (tmp_path / "up").symlink_to(tmp_path, target_is_directory=True)
        left_out = LeftOut()
        list(walk_inputs([tmp_path], left_out=left_out))
        assert left_out == LeftOut([tmp_path / "a.docx", tmp_path / "scan"], [tmp_path / "b"], [tmp_path / "up"])
        left_out = LeftOut()
        list(walk_inputs([tmp_path], recursive=True, left_out=left_out))
        assert [path.name for path in left_out.files] == ["a.docx", "scan", "notes.txt"]
        assert (left_out.folders, left_out.links) == ([], [tmp_path / "up"])

    def test_a_very_deep_tree_is_walked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        depth, before = 250, sys.getrecursionlimit()
        monkeypatch.chdir(tmp_path)
        for _ in range(depth):
            os.mkdir("d")
            os.chdir("d")
        plant(Path(), "1.png")
        os.chdir(tmp_path)
        try:
            sys.setrecursionlimit(len(inspect.stack(0)) + 200)  # so deep that a function cannot call itself for each
            assert names(".", recursive=True) == ["d/" * depth + "1.png"]
            assert names("**/1.png") == ["d/" * depth + "1.png"]
        finally:  # Python's own way to clear a folder calls itself.
            sys.setrecursionlimit(before)
            os.chdir("d/" * depth)
            os.unlink("1.png")
            for _ in range(depth):
                os.chdir("..")
                os.rmdir("d")


class TestPatterns:
    @pytest.fixture(autouse=True)
    def tree(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        plant(tmp_path, "2.png", "10.png", "a/1.png", "a/b/1.png", ".h/1.png", "a/.h.png", "notes.txt")
        monkeypatch.chdir(tmp_path)

    @pytest.mark.parametrize(
        ("pattern", "found"),
        [
            ("*.png", ["2.png", "10.png"]),
            ("?.png", ["2.png"]),
            ("[0-9]*.png", ["2.png", "10.png"]),
            ("*/1.png", ["a/1.png"]),
            ("**/1.png", ["a/1.png", "a/b/1.png"]),
            ("**/**/1.png", ["a/1.png", "a/b/1.png"]),
            ("a/**", ["1.png", "b/1.png"]),
            ("a/**/*.png", ["1.png", "b/1.png"]),
            ("a/.*", [".h.png"]),
            ("*", ["2.png", "10.png", "notes.txt"]),
        ],
    )
    def test_a_pattern_is_what_it_matches(self, pattern: str, found: list[str]) -> None:
        assert names(pattern) == found

    def test_names_begin_after_the_plain_part(self, tmp_path: Path) -> None:
        assert list(walk_inputs(["a/b/*.png"])) == [Input(Path("a/b/1.png"), "1.png")]
        assert names(f"{tmp_path}/a/*/*.png") == ["b/1.png"]

    def test_a_file_of_that_very_name_comes_first(self, tmp_path: Path) -> None:
        plant(tmp_path, "[2].png")
        assert names("[2].png") == ["[2].png"]

    def test_a_pattern_that_matches_nothing_is_handed_on_to_be_refused(self) -> None:
        assert list(find_inputs(["*.pdf"])) == ["*.pdf"]
        with pytest.raises(InputError, match="no such file"):
            list(open_pages("*.pdf"))

    def test_a_circle_of_links_has_an_end(self, tmp_path: Path) -> None:
        (tmp_path / "a" / "up").symlink_to(tmp_path, target_is_directory=True)
        assert names("**/1.png") == ["a/1.png", "a/b/1.png"]
        assert names("a/up/2.*") == ["2.png"]

    def test_a_pattern_finds_archives_too(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(zipped(("3.png", GOOD)))
        assert names("*.zip") == ["a.zip/3.png"]


class TestNames:
    def test_each_kind_of_input_has_one(self, tmp_path: Path) -> None:
        plant(tmp_path, "in/x.png")
        found = names("-", tmp_path / "in" / "x.png", "../gone.pdf", "https://host/a%20b.pdf?key=1", "http://10/x")
        assert found == ["stdin", "x.png", "gone.pdf", "a b.pdf", "http__10_x"]

    def test_files_with_names_hard_to_bear_are_read(self, tmp_path: Path) -> None:
        written = write_names(tmp_path)
        found = [(found.name, len(list(open_pages(found.source)))) for found in walk_inputs([tmp_path])]
        assert sorted(found) == sorted((name, 1) for name in written if not name.startswith("."))

    @given(st.lists(st.text(max_size=30)), st.randoms())
    def test_any_names_have_one_order(self, given_names: list[str], chance: random.Random) -> None:
        shuffled = chance.sample(given_names, len(given_names))
        assert sorted(shuffled, key=natural_order) == sorted(given_names, key=natural_order)

    def test_a_number_without_end_is_still_a_name(self) -> None:
        assert natural_order("9" * 100_000)


def _deny() -> None:
    raise PermissionError
