"""How far a text is from the truth: the fewest insertions, deletions and replacements that make one the other."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from dsocr.evaluation.needs import need


def distance(first: Sequence[Hashable], second: Sequence[Hashable]) -> int:
    """The fewest edits; of texts, a character is one place, of lists an item."""
    return int(need("rapidfuzz.distance").Levenshtein.distance(first, second))


def normalised(first: Sequence[Hashable], second: Sequence[Hashable]) -> float:
    """The fewest edits as a share of the longer one: 0 equal, 1 nothing in common; two empty ones are equal."""
    longest = max(len(first), len(second))
    return distance(first, second) / longest if longest else 0.0
