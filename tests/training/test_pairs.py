"""A folder of pages and texts: what is found, and what is said of what cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from dsocr.errors import InputError
from dsocr.pages import get_mode
from dsocr.training.pairs import Pair, check_lengths, check_pairs, deal, find_pairs

WHITE = Image.new("RGB", (64, 64), "white")


def put(folder: Path, name: str, text: str | bytes | None) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    WHITE.save(folder / name)
    if text is not None:
        (folder / name).with_suffix(".txt").write_bytes(text if isinstance(text, bytes) else text.encode())


def test_pairs_are_found_in_folders_too_with_texts_of_either_kind(tmp_path):
    put(tmp_path, "b.png", "bee\n")
    put(tmp_path, "in/a.jpg", None)
    (tmp_path / "in" / "a.md").write_text("# ay")
    (tmp_path / "notes.csv").write_text("not a page")
    assert [(pair.image.name, pair.text) for pair in find_pairs(tmp_path)] == [("b.png", "bee"), ("a.jpg", "# ay")]


@pytest.mark.parametrize(
    ("text", "said"),
    [(None, "has no text beside it: write what it says to a.txt"), (b"\xff\xfe", "not UTF-8"), (" \n", "is empty")],
)
def test_a_page_without_a_usable_text_is_named(tmp_path, text, said):
    put(tmp_path, "a.png", text)
    with pytest.raises(InputError, match=said) as caught:
        find_pairs(tmp_path)
    assert "a." in str(caught.value)
    assert "\n" not in str(caught.value)


def test_two_texts_for_one_page_are_not_chosen_between(tmp_path):
    put(tmp_path, "a.png", "one")
    (tmp_path / "a.md").write_text("two")
    with pytest.raises(InputError, match="two texts"):
        find_pairs(tmp_path)


@pytest.mark.parametrize(("folder", "said"), [("missing", "is no folder"), (".", "has no images")])
def test_no_folder_and_no_images_are_told(tmp_path, folder, said):
    with pytest.raises(InputError, match=said):
        find_pairs(tmp_path / folder)


def test_characters_that_the_tokenizer_lacks_are_named(tokenizer, monkeypatch):
    class Ascii:
        image = tokenizer.image

        def encode(self, text, *, allow_special=True):
            return [ord(character) for character in text if character.isascii()]

        def decode(self, ids):
            return "".join(map(chr, ids))

    with pytest.raises(InputError, match=r"page.png has what the tokenizer lacks: 'é' \(U\+00E9\) '世' \(U\+4E16\)"):
        check_pairs([Pair(Path("page.png"), "caf\u00e9 \u4e16")], Ascii())
    check_pairs([Pair(Path("page.png"), "caf\u00e9 \u4e16")], tokenizer)


def test_a_text_may_hold_tags_but_no_image(tokenizer):
    check_pairs([Pair(Path("a.png"), "<|ref|>title<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>")], tokenizer)
    with pytest.raises(InputError, match="stands for an image"):
        check_pairs([Pair(Path("a.png"), "an <image> of it")], tokenizer)


def test_a_page_that_takes_more_places_than_there_are_is_told(tokenizer):
    with pytest.raises(InputError, match="274 places"):
        check_lengths([Pair(WHITE, "x")], tokenizer, get_mode("gundam"), 200)
    check_lengths([Pair(WHITE, "x")], tokenizer, get_mode("gundam"), 300)


def test_a_damaged_page_is_named(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (tmp_path / "a.txt").write_text("text")
    with pytest.raises(InputError, match=r"a\.png"):
        find_pairs(tmp_path)[0].size()


@given(st.integers(1, 30), st.integers(0, 5), st.integers(0, 3))
def test_every_pair_comes_once_before_any_comes_again(count, seed, again):
    pairs = [Pair(Path(str(number)), "") for number in range(count)]
    dealt = [deal(pairs, seed, again * count + place) for place in range(count)]
    assert sorted(pair.image for pair in dealt) == sorted(pair.image for pair in pairs)
