"""What a network in training writes about its pages itself, and what should have come next after each character of it.

A decoder that is given the truth at every step never sees the places that its own mistakes lead to. This is DAgger
(arXiv 1011.0686): it goes wrong as it would, and is told the right way on from there.
"""

from __future__ import annotations

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


def write_down(
    network: Network, tokenizer: Tokenizer, notes: Sequence[Drawn], texts: Sequence[list[int]], prompt: str, mode: str
) -> list[Written]:
    """Each note as the network writes it, greedily, beside its text.

    The network is for this alone: it may get fast twins.
    """
    with torch.autocast(network.device.type, enabled=False):
        speed_up(network)
        most = max(map(len, texts)) + _BEYOND
        options = Options(
            mode, prompt, sampling=Sampling(max_tokens=most), loops="keep", unsure="keep", skip_blank=False
        )
        pages = [Image.fromarray(note.image).convert("RGB") for note in notes]
        ends = OCR(network, tokenizer, batch=_AT_ONCE).readings_of(pages, options)
        raws = [end.transcript(keep_image=False).raw for end in ends if isinstance(end, Reading)]
    ids = [tokenizer.encode(raw, allow_special=False) for raw in raws]
    return [align(own[: len(text) + _BEYOND], text) for own, text in zip(ids, texts, strict=True)]


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
