"""What a network in training writes about its pages itself, and what should have come next after each character of it.

A decoder that is given the truth at every step never sees the places that its own mistakes lead to. This is DAgger
(arXiv 1011.0686): it goes wrong as it would, and is told the right way on from there.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from dsocr.engine.request import Sampling
from dsocr.model.network import Network
from dsocr.model.speed import speed_up
from dsocr.model.tokenizer import Tokenizer
from dsocr.ocr import OCR, Options
from dsocr.reading import Reading
from dsocr.training.drawing import Drawn
from dsocr.training.slips import Written

_AT_ONCE = 16  # pages
_BEYOND = 40  # ids that may be written beyond the length of the text
_LOST, _FOUND = (12, 7), 8  # lost: fewer of so many ids are right; found again: so many in a row are
_STRAYED = (2, 10)  # ids that one who is lost writes before being led back


def write_down(
    rng: random.Random,
    network: Network,
    tokenizer: Tokenizer,
    notes: Sequence[Drawn],
    texts: Sequence[list[int]],
    prompt: str,
    mode: str,
) -> list[Written]:
    """Each note as the network writes it, greedily, beside its text; where it is lost, the text leads it back.

    The network is for this alone: it may get fast twins.
    """
    with torch.autocast(network.device.type, enabled=False):
        speed_up(network)
        most = max(map(len, texts)) + _BEYOND
        options = Options(mode, prompt, sampling=Sampling(max_tokens=most), loops="keep", skip_blank=False)
        pages = [Image.fromarray(note.image).convert("RGB") for note in notes]
        ends = OCR(network, tokenizer, batch=_AT_ONCE).readings_of(pages, options)
        raws = [end.transcript(keep_image=False).raw for end in ends if isinstance(end, Reading)]
    ids = [tokenizer.encode(raw, allow_special=False) for raw in raws]
    return [led_back(rng, align(own[: len(text) + _BEYOND], text), text) for own, text in zip(ids, texts, strict=True)]


def align(ids: Sequence[int], text: Sequence[int]) -> Written:
    """Where in the text each id leads to, along the fewest changes that make one the other (Levenshtein)."""
    least = np.zeros((len(ids) + 1, len(text) + 1), dtype=np.int32)
    least[0] = along = np.arange(len(text) + 1)
    goal = np.array(text, dtype=np.int64)
    for row, index in enumerate(ids, start=1):
        above = least[row - 1]
        best = np.concatenate([above[:1] + 1, np.minimum(above[1:] + 1, above[:-1] + (goal != index))])
        least[row] = np.minimum.accumulate(best - along) + along
    following: list[int | None] = []
    row, place = len(ids), len(text)
    while row:
        # Of ways equally long the one that is least far on in the text.
        if place and least[row, place] == least[row, place - 1] + 1:
            place -= 1
            continue
        following.append(place)
        row -= 1
        if place and least[row + 1, place] == least[row, place - 1] + (text[place - 1] != ids[row]):
            place -= 1
    return Written(list(ids), following[::-1])


def led_back(rng: random.Random, written: Written, text: Sequence[int]) -> Written:
    """The same, but where the way is lost the text goes on after a few ids, as far as to where it is found again.

    A long stretch that has nothing to do with the text does not tell what should come next: it would teach nothing.
    """
    places = [0, *(place or 0 for place in written.following)]
    steps = zip(written.ids, places, places[1:], strict=False)
    right = [after == before + 1 and text[before] == own for own, before, after in steps]
    ids: list[int] = []
    following: list[int | None] = []
    done = 0  # ids of `written`
    while done < len(right):
        stray = found = done + 1
        told = range(0)  # of the text
        ahead = right[done : done + _LOST[0]]
        if not ahead[0] and len(ahead) == _LOST[0] and sum(ahead) < _LOST[1]:
            finds = (at for at in range(done + 1, len(right) - _FOUND + 1) if all(right[at : at + _FOUND]))
            found = next(finds, len(right))
            stray = min(found, done + rng.randint(*_STRAYED))
            told = range(places[stray], places[found] if found < len(right) else len(text))
        ids += [*written.ids[done:stray], *(text[place] for place in told)]
        following += [*written.following[done:stray], *(place + 1 for place in told)]
        done = found
    return Written(ids, following)
