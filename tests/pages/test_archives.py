"""Archives are read where they lie; one bad member costs itself, and none is ever written anywhere."""

from __future__ import annotations

import gc
import gzip
import io
import os
from contextlib import suppress
from pathlib import Path

import pytest
from bad_inputs import GOOD, encode, noise, tarred, zipped
from hypothesis import given, settings
from hypothesis import strategies as st

from dsocr.errors import EncryptedError, InputError
from dsocr.pages import ArchiveLimits, Member, find_inputs, holds_documents, open_pages, walk_inputs
from dsocr.pages.archives import list_members
from dsocr.pages.inputs import SUFFIXES, files_of
from dsocr.pages.names import tame


def members(data: bytes, **limits: int) -> dict[str, str]:
    """What is found in an archive, and what is said of each."""
    found = {}
    for member in list_members(io.BytesIO(data), "a.zip", SUFFIXES, ArchiveLimits(**limits)):
        try:
            found[member.name] = "" if member.open().read() else "empty"
        except InputError as error:
            found[member.name] = str(error)
    return found


class TestMembers:
    @pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "tar.bz2", "tar.xz"])
    def test_every_kind_of_archive_gives_its_pages_in_natural_order(self, kind: str, tmp_path: Path) -> None:
        names = ("b/page10.png", "b/page2.png", "a.PNG", "notes.txt", ".hidden.png", "__MACOSX/._a.png")
        pack = zipped if kind == "zip" else lambda *files: tarred(*files, mode=f"w:{kind[4:]}")
        path = tmp_path / "scans"
        path.write_bytes(pack(*((name, GOOD) for name in names)))
        found = list(walk_inputs([path]))
        assert [item.name for item in found] == ["scans/a.PNG", "scans/b/page2.png", "scans/b/page10.png"]
        (page,) = open_pages(found[1].source)
        assert (page.source, page.number) == (f"{path}/b/page2.png", 1)

    def test_pages_of_an_archive_come_as_those_of_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(zipped(("2.png", GOOD), ("1.png", GOOD)))
        names = [(Path(page.source).name, page.number) for page in open_pages(tmp_path / "a.zip")]
        assert names == [("1.png", 1), ("2.png", 1)]
        assert holds_documents(tmp_path / "a.zip")
        assert not holds_documents(tmp_path / "a.zip" / "1.png")

    def test_a_member_can_be_named_like_a_file_in_a_folder(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(zipped(("in/1.png", GOOD), ("../2.png", GOOD)))
        for name in ("in/1.png", "2.png"):
            (page,) = open_pages(f"{tmp_path}/a.zip/{name}")
            assert page.source == f"{tmp_path}/a.zip/{name}"
        for name in ("3.png", "../2.png", "in"):
            with pytest.raises(InputError, match="no such file"):
                list(open_pages(f"{tmp_path}/a.zip/{name}"))

    def test_a_path_to_a_member_is_no_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(zipped(("../../etc/hosts.png", GOOD)))
        (source,) = find_inputs([tmp_path / "a.zip"])
        assert isinstance(source, Member)
        assert os.fspath(source) == f"{tmp_path}/a.zip/etc/hosts.png"
        assert not os.path.exists(source)
        assert list(find_inputs([source])) == [source]

    def test_an_archive_is_let_go_with_its_last_member(self, tmp_path: Path) -> None:
        (tmp_path / "a.zip").write_bytes(zipped(("1.png", GOOD), ("2.png", GOOD)))
        files = Path("/proc/self/fd")
        if not files.exists():
            pytest.skip("needs a list of open files")
        before = len(list(files.iterdir()))
        found = files_of(tmp_path / "a.zip")
        assert len(list(files.iterdir())) == before + 1
        del found
        gc.collect()
        assert len(list(files.iterdir())) == before

    @pytest.mark.parametrize("kind", ["zip", "tar", "tar.gz", "cut short.tar.gz"])
    def test_of_many_archives_few_are_open_at_a_time(self, kind: str, tmp_path: Path) -> None:
        pack = zipped if kind == "zip" else lambda *files: tarred(*files, mode="w:gz" if "gz" in kind else "w:")
        data = pack(("1.png", GOOD), ("2.png", encode(noise((300, 300)), "PNG")))
        for number in range(12):
            (tmp_path / f"{number}.{kind}").write_bytes(data[:-2000] if "cut" in kind else data)
        files = Path("/proc/self/fd")
        if not files.exists():
            pytest.skip("needs a list of open files")
        gc.collect()
        before = len(list(files.iterdir()))
        gc.disable()
        try:
            found = [*walk_inputs([tmp_path])]
            assert len(list(files.iterdir())) <= before + 2
            for each in found:
                with suppress(InputError):
                    assert len(list(open_pages(each.source))) == 1
            assert len(list(files.iterdir())) <= before + 2
        finally:
            gc.enable()
        assert [each.name.rpartition("/")[2] for each in found[:2]] == ["1.png", "2.png"]

    def test_an_archive_that_is_another_one_by_now_is_not_read(self, tmp_path: Path) -> None:
        for name in "abc":
            (tmp_path / f"{name}.tar").write_bytes(tarred(("1.png", GOOD)))
        found = list(find_inputs([tmp_path]))
        (tmp_path / "a.tar").write_bytes(tarred(("0.png", GOOD * 9), ("1.png", GOOD)))
        with pytest.raises(InputError, match=r"a\.tar: the archive has changed"):
            list(open_pages(found[0]))
        assert len(list(open_pages(found[1]))) == 1

    @pytest.mark.parametrize("data", [zipped(("a.png", GOOD)), gzip.compress(b"x")], ids=["zip", "gzip"])
    def test_an_archive_in_memory_is_refused(self, data: bytes) -> None:
        with pytest.raises(InputError, match="only as a file of its own"):
            list(open_pages(data))


class TestLimits:
    def test_of_members(self) -> None:
        found = members(zipped(*((f"{number}.png", GOOD) for number in range(5))), members=3)
        assert list(found) == ["0.png", "1.png", "2.png", "the rest"]
        assert "more than 3 files" in found["the rest"]

    def test_of_one_member(self) -> None:
        for pack in (zipped, tarred):
            found = members(pack(("a.png", GOOD), ("b.png", bytes(5000))), member_bytes=4000)
            assert found["a.png"] == ""
            assert "5,000 bytes unpacked are more than the limit of 4,000" in found["b.png"]

    def test_of_all_members_together(self) -> None:
        data = zipped(("a.png", bytes(4000)), ("b.png", bytes(4000)), ("c.png", bytes(900)))
        found = members(data, total_bytes=5000)
        assert [found[name] == "" for name in ("a.png", "b.png", "c.png")] == [True, False, True]

    def test_of_what_comes_of_few_bytes(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dsocr.pages.archives._WHITE", 1000)
        found = members(zipped(("a.png", bytes(100_000)), ("b.png", GOOD)), ratio=20)
        assert "packed into" in found["a.png"]
        assert found["b.png"] == ""

    def test_of_a_compressed_tar_as_a_whole(self) -> None:
        data = tarred(("a.png", GOOD), ("b.png", bytes(50_000)), mode="w:xz")
        found = members(data, total_bytes=20_000)
        assert [found[name][:5] for name in ("a.png", "b.png", "the rest")] == ["", "a.zip", "a.zip"]
        assert "unpacks to more than the limit of 20,000" in found["the rest"]

    def test_a_list_of_contents_is_not_read_in_one_gulp(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("dsocr.pages.archives._MOST_AT_ONCE", 70_000)
        with pytest.raises(InputError, match="damaged"):
            members(zipped(*((f"{number:0900}.png", b"x") for number in range(100))))


class TestDamage:
    def test_a_locked_member_has_an_error_of_its_kind(self) -> None:
        from bad_inputs import locked_zip

        first, second = list_members(io.BytesIO(locked_zip()), "a.zip", SUFFIXES)
        with pytest.raises(EncryptedError, match=r"^a\.zip/locked\.png: it is locked in the archive"):
            first.open()
        assert second.open().read() == GOOD

    def test_streams_may_follow_one_another(self) -> None:
        import bz2
        import lzma

        data = tarred(("a.png", encode(noise((300, 300)), "PNG")))
        for compress in (gzip.compress, bz2.compress, lzma.compress):
            assert members(compress(data[:700]) + compress(data[700:])) == {"a.png": ""}

    @settings(max_examples=60, deadline=None)
    @given(data=st.data())
    def test_no_damage_raises_anything_but_an_input_error(self, data: st.DataObject) -> None:
        archive = bytearray(data.draw(st.sampled_from(SOUND)))
        for _ in range(data.draw(st.integers(1, 6))):
            archive[data.draw(st.integers(0, len(archive) - 1))] = data.draw(st.integers(0, 255))
        with suppress(InputError):
            members(bytes(archive[: data.draw(st.integers(len(archive) // 2, len(archive)))]))


class TestNames:
    @given(st.text(max_size=400))
    def test_a_tame_name_stays_below_its_folder(self, name: str) -> None:
        parts = tame(name).split("/")
        assert 1 <= len(parts) <= 8
        for part in parts:
            assert part.strip(". ")
            assert part.isprintable()
            assert len(part) <= 121
            assert not set(part) & set("\\:\0")

    @pytest.mark.parametrize(
        ("name", "tamed"),
        [
            ("../../etc/x.pdf", "etc/x.pdf"),
            ("/etc/x.pdf", "etc/x.pdf"),
            ("C:\\Users\\x.pdf", "C_/Users/x.pdf"),
            ("a/./b//c.pdf", "a/b/c.pdf"),
            ("...", "unnamed"),
            ("", "unnamed"),
            ("a\0b\n.pdf", "a_x00b_n.pdf"),
        ],
    )
    def test_a_strangers_path_becomes_tame(self, name: str, tamed: str) -> None:
        assert tame(name) == tamed


SOUND = [
    zipped(("a.png", GOOD), ("b/c.png", b"x" * 3000)),
    tarred(("a.png", GOOD), ("x" * 200 + ".png", GOOD)),
    tarred(("a.png", GOOD), mode="w:gz"),
    tarred(("a.png", GOOD), mode="w:xz"),
]
