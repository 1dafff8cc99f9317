"""The words of a text, and how two texts' words are compared: sets, counts, n-grams, alignments."""

from __future__ import annotations

import functools
import re
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dsocr.evaluation.needs import need

_CHINESE = re.compile("[\u4e00-\u9fa5]")


@dataclass(frozen=True)
class Overlap:
    """precision: the share of the words written that are in the truth; recall: of the truth's that were written."""

    precision: float
    recall: float

    @property
    def f_measure(self) -> float:
        """Their harmonic mean."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    @property
    def swapped(self) -> Overlap:
        """The same figures under each other's names."""
        return Overlap(precision=self.recall, recall=self.precision)


def split_both(truth: str, written: str) -> tuple[list[str], list[str]]:
    """The words of two texts: between spaces, or by jieba's dictionary when either has a Chinese character."""
    if _CHINESE.search(truth) or _CHINESE.search(written):
        cut = _chinese_words()
        return cut(truth), cut(written)
    return truth.split(), written.split()


def distinct_overlap(truth: Iterable[str], written: Iterable[str]) -> Overlap:
    """Of distinct words: one that is written a hundred times counts as once."""
    return counted_overlap(set(truth), set(written))


def counted_overlap(truth: Iterable[str], written: Iterable[str]) -> Overlap:
    """Of all words, each as often as it stands; two texts without words agree in everything."""
    true, found = Counter(truth), Counter(written)
    both = (true & found).total()
    if not true and not found:
        return Overlap(1.0, 1.0)
    return Overlap(_share(both, found.total()), _share(both, true.total()))


def bleu(truth: Sequence[str], written: Sequence[str]) -> float:
    """BLEU up to four words, unsmoothed as Fox takes it: fewer than four words in a row alike come to nearly 0."""
    if not truth or not written:
        return float(list(truth) == list(written))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says so whenever no four words agree
        return float(need("nltk.translate").bleu([list(truth)], list(written)))


def meteor(truth: Sequence[str], written: Sequence[str], *, synonyms: bool) -> float | None:
    """METEOR over words that are the same, or have the same stem, or, with synonyms, share a meaning in WordNet.

    With synonyms, None where WordNet is not on this machine; nothing is downloaded. Two equal texts of n words come to
    1 - 0.5 / n³, not 1: that is METEOR's penalty for their one run.
    """
    wordnet = _wordnet() if synonyms else _NoSynonyms()
    if wordnet is None:
        return None
    if not truth or not written:
        return float(list(truth) == list(written))
    return float(need("nltk.translate.meteor_score").meteor_score([list(truth)], list(written), wordnet=wordnet))


class _NoSynonyms:
    """Stands where METEOR asks for WordNet, and knows no word."""

    def synsets(self, word: str) -> list[object]:
        return []


@functools.cache
def _wordnet() -> object | None:
    """WordNet where its files are, all of them; its own reader reads them."""
    wordnet = need("nltk.corpus").wordnet
    try:
        wordnet.ensure_loaded()
    except (LookupError, OSError, ValueError):  # not there, or not as its reader has it
        return None
    found: object = wordnet
    return found


@functools.cache
def _chinese_words() -> Callable[[str], list[str]]:
    cutter = need("jieba").Tokenizer()
    # Left to itself it would load a file that anybody may have written: jieba.cache in the folder for temporary files.
    cutter.FREQ, cutter.total = cutter.gen_pfdict(cutter.get_dict_file())
    cutter.initialized = True
    cut: Callable[[str], list[str]] = cutter.lcut
    return cut


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 0.0
