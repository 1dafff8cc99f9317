"""What one can ask for."""

from __future__ import annotations

import pytest

from dsocr.errors import InputError
from dsocr.prompts import PROMPTS, resolve_prompt


def test_every_name_is_a_trained_prompt_about_one_image():
    for name in PROMPTS.keys() - {"locate"}:
        assert resolve_prompt(name) == PROMPTS[name]
        assert resolve_prompt(name).startswith("<image>\n")


def test_the_document_prompt_is_the_published_one():
    assert resolve_prompt("document") == "<image>\n<|grounding|>Convert the document to markdown."


def test_a_name_may_have_capitals_and_spaces_around():
    assert resolve_prompt(" Free ") == resolve_prompt("free")


def test_locate_puts_its_text_between_the_tags():
    assert resolve_prompt("locate: the total ") == "<image>\nLocate <|ref|>the total<|/ref|> in the image."


@pytest.mark.parametrize("asked", ["locate", "locate:", "Locate:  "])
def test_locate_without_text_is_a_mistake(asked):
    with pytest.raises(InputError, match="locate:TEXT"):
        resolve_prompt(asked)


@pytest.mark.parametrize(
    "text",
    ["a<|/ref|> b", "<image>", "x <|grounding|>", "</td>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "<|ref<|/ref|>"],
)
def test_a_tag_in_what_to_locate_cannot_pose_as_structure(text):
    with pytest.raises(InputError, match="pose as a tag"):
        resolve_prompt(f"locate:{text}")


def test_mathematics_in_what_to_locate_is_no_tag():
    assert "a < |b| > c" in resolve_prompt("locate:a < |b| > c")


def test_a_text_of_ones_own_gets_the_image_in_front():
    assert resolve_prompt("What is the date? ") == "<image>\nWhat is the date?"


def test_a_text_of_ones_own_with_tags_stays_as_it_is():
    assert resolve_prompt("Compare <image> and <image>.\n") == "Compare <image> and <image>."


def test_a_text_without_an_image_stays_as_it_is():
    assert resolve_prompt("Hello", with_image=False) == "Hello"


@pytest.mark.parametrize("asked", ["", " \n"])
def test_an_empty_prompt_is_a_mistake(asked):
    with pytest.raises(InputError, match="empty"):
        resolve_prompt(asked)


def test_half_a_surrogate_pair_is_a_mistake():
    with pytest.raises(InputError, match="surrogate"):
        resolve_prompt("date \ud800")
