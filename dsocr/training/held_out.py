"""How well a network in training reads pages that are kept from it."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

import numpy as np

from dsocr.engine.request import Sampling
from dsocr.errors import InputError
from dsocr.model.network import Network
from dsocr.model.speed import speed_up
from dsocr.model.tokenizer import Tokenizer
from dsocr.ocr import OCR, Options
from dsocr.training.pairs import Pair


def measure(network: Network, tokenizer: Tokenizer, pages: Sequence[Pair], mode: str, prompt: str) -> float:
    """The mean character error rate of the pages, read greedily; a page that fails counts as nothing written.

    The network is for this alone: it may get fast twins.
    """
    speed_up(network)
    ocr = OCR(network, tokenizer)
    longest = max(len(tokenizer.encode(page.text)) for page in pages)
    # A network that has only begun to learn writes without end.
    options = Options(
        mode, prompt, sampling=Sampling(max_tokens=longest + longest // 2 + 8), loops="keep", unsure="keep"
    )
    texts = [_read(ocr, page, options) for page in pages]
    return statistics.mean(error_rate(text, page.text) for text, page in zip(texts, pages, strict=True))


def error_rate(written: str, truth: str) -> float:
    """Edits over the truth's length, white space counted as single spaces; more than 1 where too much is written."""
    written, truth = (" ".join(text.split()) for text in (written, truth))
    return edits(written, truth) / max(1, len(truth))


def edits(written: str, truth: str) -> int:
    """How many characters must be put in, left out or changed (Levenshtein)."""
    goal = np.array([ord(character) for character in truth], dtype=np.int64)
    along = np.arange(len(truth) + 1)
    row = along.copy()
    for character in written:
        changed = row[:-1] + (goal != ord(character))
        row = np.concatenate([row[:1] + 1, np.minimum(row[1:] + 1, changed)])
        # What is put in moves along the row: the least of what stands to the left, and the way from there.
        row = np.minimum.accumulate(row - along) + along
    return int(row[-1])


def _read(ocr: OCR, page: Pair, options: Options) -> str:
    try:
        return next(ocr.readings(page.open(), options)).transcript(keep_image=False).raw
    except InputError:
        return ""
