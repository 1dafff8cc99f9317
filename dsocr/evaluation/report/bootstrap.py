"""How far a mean could have come out otherwise, had other pages of the same kind been drawn."""

from __future__ import annotations

from collections.abc import Sequence

import numpy

from dsocr.evaluation.report.table import Estimate

RESAMPLES = 2000
LEVEL = 0.95  # of the resampled means lie in the interval

_AT_A_TIME = 1_000_000  # values drawn


def mean(values: Sequence[float], *, seed: int = 0) -> Estimate | None:
    """The mean with its interval, from pages drawn again with replacement; None of nothing.

    The same values and seed give the same interval. The percentile method: the middle LEVEL of RESAMPLES means.
    """
    return macro_mean([values] if len(values) else [], seed=seed)


def macro_mean(groups: Sequence[Sequence[float]], *, seed: int = 0) -> Estimate | None:
    """The mean of the groups' means, each group counting alike however large it is and drawn again by itself."""
    filled = [numpy.asarray(group, dtype=float) for group in groups if len(group)]
    if not filled:
        return None
    draw = numpy.random.default_rng(seed)
    means = numpy.mean([_resampled(group, draw) for group in filled], axis=0)
    low, high = numpy.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(numpy.mean([group.mean() for group in filled])), float(low), float(high))


def mean_of_parts(pages: Sequence[Sequence[float | None]], *, seed: int = 0) -> Estimate | None:
    """The mean over parts of each part's mean over the pages that have it, pages drawn again with all their parts.

    pages: [pages, parts]. None where a part is on no page; samples that miss a part have no say in the interval.
    """
    values = numpy.array([[numpy.nan if value is None else value for value in page] for page in pages], dtype=float)
    if not len(values) or numpy.isnan(values).all(axis=0).any():
        return None
    known = ~numpy.isnan(values)  # [pages, parts]
    filled = numpy.where(known, values, 0.0)
    draw = numpy.random.default_rng(seed)
    # How often each page is in each sample: [samples, pages]
    times = draw.multinomial(len(values), numpy.full(len(values), 1 / len(values)), RESAMPLES).astype(float)
    counts = times @ known.astype(float)  # [samples, parts]
    whole = (counts > 0).all(axis=1)
    means = ((times @ filled)[whole] / counts[whole]).mean(axis=1)
    low, high = numpy.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = (filled.sum(axis=0) / known.sum(axis=0)).mean()
    return Estimate(float(value), float(low), float(high))


def _resampled(values: numpy.ndarray, draw: numpy.random.Generator) -> numpy.ndarray:
    """The mean of as many values drawn again, RESAMPLES times, some of them at a time to stay small."""
    at_a_time = max(1, _AT_A_TIME // len(values))
    sizes = [min(at_a_time, RESAMPLES - start) for start in range(0, RESAMPLES, at_a_time)]
    return numpy.concatenate(
        [values[draw.integers(0, len(values), (size, len(values)))].mean(axis=1) for size in sizes]
    )
