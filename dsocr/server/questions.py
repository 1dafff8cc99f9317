"""A stranger's prompt as ids: only the tags that prompts are made of count as such, and all others are plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dsocr.errors import InputError
from dsocr.model.tokenizer import Tokenizer
from dsocr.prompts import IMAGE

LONGEST = 20_000  # characters; no model of this kind holds more tokens than that
_TAGS = re.compile(r"(<\|grounding\|>|<\|/?ref\|>|<\|/?det\|>)")
_WRITTEN = re.compile(r"(<\|/?ref\|>|<\|/?det\|>|</?t[dr]>)")


def ids_of(tokenizer: Tokenizer, prompt: str, places: Sequence[int]) -> tuple[int, ...]:
    """Bos, then the prompt with as many image ids in place of each `<image>` as that page takes places.

    For the trained prompts the same as the tokenizer's own prompt_ids. InputError for a prompt that is too long, and
    for more or fewer `<image>` than there are pages.
    """
    if len(prompt) > LONGEST:
        raise InputError(f"the prompt has {len(prompt):,} characters, more than the limit of {LONGEST:,}; shorten it")
    first, *others = prompt.split(IMAGE)
    if len(others) != len(places):
        raise InputError(
            f"the prompt has {len(others)} {IMAGE} for {len(places)} images: leave {IMAGE} out, or write one for each"
        )
    ids = [tokenizer.bos, *_encode(tokenizer, first)]
    for count, text in zip(places, others, strict=True):
        ids += [tokenizer.image] * count + _encode(tokenizer, text)
    return tuple(ids)


def ids_of_beginning(tokenizer: Tokenizer, text: str) -> tuple[int, ...]:
    """A text that an answer is to go on from: the tags that answers are made of count as such."""
    if len(text) > LONGEST:
        raise InputError(f"the answer's beginning has {len(text):,} characters, more than the limit of {LONGEST:,}")
    return tuple(_encode(tokenizer, text, _WRITTEN))


def _encode(tokenizer: Tokenizer, text: str, tags: re.Pattern[str] = _TAGS) -> list[int]:
    ids = list[int]()
    for number, piece in enumerate(tags.split(text)):
        ids += tokenizer.encode(piece, allow_special=number % 2 == 1)
    return ids
