"""The checkpoint in the package reads pages that were drawn by benchmarks/nano_reads.py, not by its training room."""

from __future__ import annotations

from pathlib import Path

import pytest
from rapidfuzz.distance import Levenshtein

import dsocr
from dsocr import Options, Sampling, Transcript
from dsocr.reading import Reading
from dsocr.rescue import UNSURE

PAGES = sorted((Path(__file__).parent / "golden" / "nano").glob("*.png"))
MOST_BYTES, MOST_PARAMETERS = 30_000_000, 15_000_000
REACHED = 0.09  # what this checkpoint stays under; docs/nano.md has the measured figures


@pytest.fixture(scope="module")
def nano() -> dsocr.OCR:
    return dsocr.load("nano")


@pytest.fixture(scope="module")
def pages(nano) -> list[Transcript]:
    """All pages as they are read by default."""
    return read(nano, Options())


def read(nano, options: Options) -> list[Transcript]:
    return [each.transcript() for each in nano.readings_of(PAGES, options) if isinstance(each, Reading)]


def error_rates(pages: list[Transcript]) -> list[float]:
    """Character error rate of each page, white space counted as single spaces."""
    rates = []
    for path, page in zip(PAGES, pages, strict=True):
        truth = " ".join(path.with_suffix(".txt").read_text(encoding="utf-8").split())
        text = " ".join(dsocr.to_markdown(page).split())
        rates.append(Levenshtein.distance(text, truth) / len(truth))
    return rates


def test_nano_reads_as_well_as_its_document_says(pages):
    rates = error_rates(pages)
    assert len(rates) == 9
    assert sum(rates) / 9 <= REACHED, rates


def test_nano_is_as_small_as_it_says(nano):
    weights = Path(dsocr.__file__).parent / "nano" / "model.safetensors"
    assert weights.stat().st_size <= MOST_BYTES
    assert sum(p.numel() for p in nano.network.parameters()) <= MOST_PARAMETERS


def test_nano_reads_the_same_alone_and_again(nano):
    once, twice = (nano.read(PAGES[0]).transcripts[0].raw for _ in range(2))
    assert once == twice


def test_pages_that_nano_is_unsure_of_are_read_again_and_better(nano, pages):
    once = read(nano, Options(unsure="keep"))
    assert {page.attempts for page in once} == {1}
    again = [page.attempts > 1 for page in pages]
    assert again == [page.confidence < UNSURE for page in once]
    assert 1 < sum(again) < 9
    assert all(page.confidence > first.confidence - 1e-3 for page, first in zip(pages, once, strict=True))
    rates = error_rates(once)
    assert sum(error_rates(pages)) < sum(rates)
    sure = [confidence for _, confidence in sorted(zip(rates, (page.confidence for page in once), strict=True))]
    assert sum(sure[:4]) > sum(sure[-4:])


def test_a_description_is_never_read_again(nano):
    (reading,) = nano.readings(PAGES[0], Options(prompt="describe", sampling=Sampling(max_tokens=2000)))
    page = reading.transcript()
    assert page.attempts == 1
    assert 0 < page.confidence < 1
