"""The checkpoint in the package reads pages that were drawn by benchmarks/nano_reads.py, not by its training room."""

from __future__ import annotations

from pathlib import Path

import pytest
from rapidfuzz.distance import Levenshtein

import dsocr

PAGES = sorted((Path(__file__).parent / "golden" / "nano").glob("*.png"))
MOST_BYTES, MOST_PARAMETERS = 30 * 2**20, 15_000_000


@pytest.fixture(scope="module")
def nano() -> dsocr.OCR:
    return dsocr.load("nano")


def test_nano_reads_printed_notes(nano):
    """Mean character error rate of at most 10 %, white space counted as single spaces."""
    rates = []
    for page in PAGES:
        truth = " ".join(page.with_suffix(".txt").read_text().split())
        read = " ".join(dsocr.to_markdown(nano.read(page)).split())
        rates.append(Levenshtein.distance(read, truth) / len(truth))
    assert len(rates) >= 9
    assert sum(rates) / len(rates) <= 0.10, rates


def test_nano_is_as_small_as_it_says(nano):
    weights = Path(dsocr.__file__).parent / "nano" / "model.safetensors"
    assert weights.stat().st_size <= MOST_BYTES
    assert sum(p.numel() for p in nano.network.parameters()) <= MOST_PARAMETERS


def test_nano_reads_the_same_alone_and_again(nano):
    once, twice = (nano.read(PAGES[0]).transcripts[0].raw for _ in range(2))
    assert once == twice
