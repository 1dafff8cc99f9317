"""The checkpoint in the package reads pages that were drawn by benchmarks/nano_reads.py, not by its training room."""

from __future__ import annotations

from pathlib import Path

import pytest
from rapidfuzz.distance import Levenshtein

import dsocr
from dsocr import Options, Sampling
from dsocr.reading import Reading
from dsocr.rescue import UNSURE

PAGES = sorted((Path(__file__).parent / "golden" / "nano").glob("*.png"))
MOST_BYTES, MOST_PARAMETERS = 30_000_000, 15_000_000
REACHED = 0.09  # what this checkpoint stays under; docs/nano.md has the measured figures


@pytest.fixture(scope="module")
def nano() -> dsocr.OCR:
    return dsocr.load("nano")


@pytest.fixture(scope="module")
def error_rates(nano) -> list[float]:
    """Character error rate of each page, white space counted as single spaces."""
    rates = []
    readings = (each for each in nano.readings_of(PAGES, Options()) if isinstance(each, Reading))
    for page, reading in zip(PAGES, readings, strict=True):
        truth = " ".join(page.with_suffix(".txt").read_text(encoding="utf-8").split())
        read = " ".join(dsocr.to_markdown(reading.transcript()).split())
        rates.append(Levenshtein.distance(read, truth) / len(truth))
    return rates


def test_nano_reads_as_well_as_its_document_says(error_rates):
    assert len(error_rates) == 9
    assert sum(error_rates) / 9 <= REACHED, error_rates


def test_nano_is_as_small_as_it_says(nano):
    weights = Path(dsocr.__file__).parent / "nano" / "model.safetensors"
    assert weights.stat().st_size <= MOST_BYTES
    assert sum(p.numel() for p in nano.network.parameters()) <= MOST_PARAMETERS


def test_nano_reads_the_same_alone_and_again(nano):
    once, twice = (nano.read(PAGES[0]).transcripts[0].raw for _ in range(2))
    assert once == twice


def test_pages_that_nano_is_unsure_of_are_read_again_and_better(nano, error_rates):
    once, confidence, attempts = [], [], []
    for options in (Options(unsure="keep"), Options()):
        readings = [each for each in nano.readings_of(PAGES, options) if isinstance(each, Reading)]
        pages = [reading.transcript() for reading in readings]
        confidence.append([page.confidence for page in pages])
        attempts.append([page.attempts for page in pages])
        if not once:
            truths = [" ".join(page.with_suffix(".txt").read_text(encoding="utf-8").split()) for page in PAGES]
            texts = [" ".join(dsocr.to_markdown(page).split()) for page in pages]
            once = [Levenshtein.distance(text, truth) / len(truth) for text, truth in zip(texts, truths, strict=True)]
    assert set(attempts[0]) == {1}
    assert [tries > 1 for tries in attempts[1]] == [sure < UNSURE for sure in confidence[0]]
    assert all(now > before - 1e-3 for before, now in zip(*confidence, strict=True))
    assert 1 < sum(tries > 1 for tries in attempts[1]) < 9
    assert sum(error_rates) < sum(once)
    by_errors = sorted(zip(once, confidence[0], strict=True))
    assert sum(sure for _, sure in by_errors[:4]) > sum(sure for _, sure in by_errors[-4:])


def test_a_description_is_never_read_again(nano):
    (reading,) = nano.readings(PAGES[0], Options(prompt="describe", sampling=Sampling(max_tokens=2000)))
    page = reading.transcript()
    assert page.attempts == 1
    assert 0 < page.confidence < 1
