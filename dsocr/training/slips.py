"""Slips of a reader's pen: texts with mistakes in them, and what comes next on the page after each of their characters.

A decoder that is only ever given the truth has never seen what it has done when it goes wrong, and does not find back.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

_FARTHEST = 12  # characters that are jumped over, or read again
_JUMPS, _WORDS = 0.25, 3  # of either kind, and other words where one begins, for each id that is left out


@dataclass(frozen=True)
class Written:
    """Ids that were written, and after each of them the place in the text to go on from, None where nobody can say."""

    ids: list[int]
    following: list[int | None]


def truthful(text: Sequence[int]) -> Written:
    """The text itself."""
    return Written(list(text), list(range(1, len(text) + 1)))


def slip(
    rng: random.Random, text: Sequence[int], words: Sequence[Sequence[int]], space: int, corrupted: float, slips: float
) -> Written:
    """What a reader may have written for `text`.

    corrupted: the chance that an id is another one of the text. slips: the chance of an id left out, as large as that
    of one put in; jumps over a few ids, or back over them, are a quarter as likely each, and where a word begins, one
    of `words` in its place is three times as likely; within it nobody can say where to go on.
    """
    ids: list[int] = []
    following: list[int | None] = []
    place = 0
    while place < len(text):
        chance = rng.random()
        if chance < corrupted:
            ids.append(rng.choice(text))
            place += 1
            following.append(place)
            continue
        chance = (chance - corrupted) / slips if slips else inf
        if chance < 1:
            place += place + 1 < len(text)
        elif chance < 2:
            ids.append(rng.choice(text))
            following.append(place)
            continue
        elif chance < 2 + _JUMPS:
            place = min(len(text) - 1, place + rng.randint(2, _FARTHEST))
        elif chance < 2 + 2 * _JUMPS:
            place = max(0, place - rng.randint(2, _FARTHEST))
        elif chance < 2 + 2 * _JUMPS + _WORDS and words and place and text[place - 1] == space:
            word = rng.choice(words)
            place = next((end for end in range(place, len(text)) if text[end] == space), len(text))
            ids += word
            following += [None] * (len(word) - 1) + [place]
            continue
        ids.append(text[place])
        place += 1
        following.append(place)
    return Written(ids, following)
