"""Text to ids and back, on the smallest tokenizer file of this family."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest
import tokenizers
from hypothesis import given
from hypothesis import strategies as st

from dsocr.errors import InputError
from dsocr.model.tokenizer import BYTE_CHARACTERS, IncrementalDecoder, Tokenizer
from dsocr.training.tokenizer_file import FIRST_TOKENS, LAST_TOKENS, build_byte_tokenizer

NANO = Path(str(files("dsocr") / "nano" / "tokenizer.json"))
TOKENIZER = Tokenizer(NANO)
LIBRARY = tokenizers.Tokenizer.from_file(str(NANO))
ANY_IDS = st.lists(st.integers(0, 300) | st.sampled_from([3 + 0xE2, 3 + 0x80, 3 + 0x94, 3 + 0xED, 3 + 0xF0]))


def test_the_embedded_file_is_the_one_that_the_builder_writes(tmp_path):
    build_byte_tokenizer(tmp_path / "tokenizer.json")
    assert json.loads((tmp_path / "tokenizer.json").read_text("utf-8")) == json.loads(NANO.read_text("utf-8"))


def test_byte_b_is_id_b_plus_three_and_the_tags_follow():
    assert [TOKENIZER.special_id(token) for token in FIRST_TOKENS] == [0, 1, 2]
    assert [TOKENIZER.piece(byte + 3) for byte in range(256)] == [bytes([byte]) for byte in range(256)]
    assert [TOKENIZER.special_id(token) for token in LAST_TOKENS] == list(range(259, 271))
    assert len(TOKENIZER) == 271


def test_special_ids_come_by_name():
    assert (TOKENIZER.bos, TOKENIZER.eos, TOKENIZER.pad, TOKENIZER.image) == (0, 1, 2, 259)
    assert {TOKENIZER.piece(index) for index in TOKENIZER.td} == {b"<td>", b"</td>"}


@given(st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_comes_back_exactly(text):
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text
    assert TOKENIZER.decode(TOKENIZER.encode(text, allow_special=False)) == text


def test_typographic_text_comes_back_exactly():
    text = "Hello é — “x”\n"
    assert TOKENIZER.decode(TOKENIZER.encode(text)) == text


def test_encoding_adds_no_bos():
    assert TOKENIZER.encode("a") == [ord("a") + 3]


@pytest.mark.parametrize("tag", FIRST_TOKENS + LAST_TOKENS)
def test_a_tag_is_one_id_when_allowed_and_bytes_when_not(tag):
    assert TOKENIZER.encode(f"a{tag}b") == [100, TOKENIZER.special_id(tag), 101]
    assert TOKENIZER.encode(tag, allow_special=False) == [byte + 3 for byte in tag.encode()]


@given(ANY_IDS, st.booleans())
def test_decoding_agrees_with_the_library_on_any_ids(ids, skip_special):
    expected = LIBRARY.decode(ids, skip_special_tokens=skip_special)
    assert TOKENIZER.decode(ids, skip_special) == expected


@given(ANY_IDS, st.booleans())
def test_streamed_text_joined_is_the_decoded_text(ids, skip_special):
    decoder = IncrementalDecoder(TOKENIZER, skip_special)
    pieces = [decoder.push(index) for index in ids] + [decoder.finish()]
    assert "".join(pieces) == LIBRARY.decode(ids, skip_special_tokens=skip_special)


def test_a_stream_never_shows_half_a_character():
    decoder = IncrementalDecoder(TOKENIZER)
    assert [decoder.push(index) for index in TOKENIZER.encode("—é")] == ["", "", "—", "", "é"]


def test_a_character_cut_off_at_the_end_is_marked():
    decoder = IncrementalDecoder(TOKENIZER)
    assert decoder.push(3 + 0xE2) == ""
    assert decoder.finish() == "\ufffd"


def test_an_id_without_a_token_says_nothing():
    assert TOKENIZER.decode([100, 9999, -1, 101]) == "ab"


def test_a_prompt_holds_as_many_image_ids_as_the_page_takes_places():
    newline_and_x = [13, ord("x") + 3]
    assert TOKENIZER.prompt_ids("<image>\nx", [3]) == [0, 259, 259, 259, *newline_and_x]


def test_a_prompt_about_two_images_and_one_about_none():
    assert TOKENIZER.prompt_ids("a<image>b<image>", [2, 1]) == [0, 100, 259, 259, 101, 259]
    assert TOKENIZER.prompt_ids("ab", []) == [0, 100, 101]


@pytest.mark.parametrize(("prompt", "places"), [("x", [3]), ("<image>", []), ("<image><image>", [1])])
def test_images_and_their_marks_must_be_equal_in_number(prompt, places):
    with pytest.raises(InputError, match="<image>"):
        TOKENIZER.prompt_ids(prompt, places)


def test_a_file_without_a_needed_token_is_named_with_the_token(tmp_path):
    path = _edited(tmp_path, lambda text: text.replace('"</td>"', '"</cell>"'))
    with pytest.raises(InputError, match=r"tokenizer\.json has no token '</td>'"):
        Tokenizer(path)


def test_a_file_that_is_not_byte_level_is_refused(tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizers.Tokenizer(tokenizers.models.WordLevel({"a": 0}, unk_token="a")).save(str(path))
    with pytest.raises(InputError, match="not byte-level"):
        Tokenizer(path)


@pytest.mark.parametrize("content", [b"", b"{}", b"\xff"])
def test_a_broken_or_missing_file_is_named(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        Tokenizer(path)
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        Tokenizer(path)


def test_pieces_of_a_vocabulary_with_merges_may_cut_characters(tmp_path):
    def with_merge(text):
        fields = json.loads(text)
        pair = [BYTE_CHARACTERS[0xE2], BYTE_CHARACTERS[0x80]]
        fields["model"]["vocab"]["".join(pair)] = 300
        fields["model"]["merges"] = [pair]
        return json.dumps(fields)

    tokenizer = Tokenizer(_edited(tmp_path, with_merge))
    assert tokenizer.encode("—") == [300, 3 + 0x94]
    decoder = IncrementalDecoder(tokenizer)
    assert [decoder.push(300), decoder.push(3 + 0x94), decoder.push(300), decoder.finish()] == ["", "—", "", "\ufffd"]


def _edited(folder, edit):
    path = folder / "tokenizer.json"
    path.write_text(edit(NANO.read_text("utf-8")), encoding="utf-8")
    return path
