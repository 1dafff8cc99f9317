"""Which block that was read stands for which block of the truth, found by how alike they are.

The rules are OmniDocBench's "quick match", in this order:

1. Consecutive pieces that fit one block of the truth better together are taken together.
2. Truth and pieces are paired so that the sum of their distances is least; pairs of more than 0.7 are undone.
3. A block of the truth that is left and stands inside of a piece joins it.
4. What is left on both sides is paired again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy

from dsocr.evaluation import edit
from dsocr.evaluation.needs import need

SURE = 0.25  # below this distance, two blocks belong together beyond doubt
APART = 0.7  # above it they do not
INSIDE = 0.4  # a block that is no further than this from some part of another stands inside of it
PIECE = 0.6  # the same for a piece of a block that fell apart


@dataclass(frozen=True)
class Group:
    """Blocks of the truth and pieces that were read, by their numbers, that belong together; either can be empty."""

    truths: tuple[int, ...]
    pieces: tuple[int, ...]
    twice: bool = False  # published quirk: version 1.0 lists this group twice


def match(truths: Sequence[str], pieces: Sequence[str]) -> tuple[Group, ...]:
    """Groups in which every block of the truth stands once.

    A group without truths holds the pieces that are left when all of the truth is matched; where some of the truth is
    not, pieces that match nothing are in no group, as published.
    """
    if not truths:
        return tuple(Group((), (number,)) for number in range(len(pieces)))
    if not pieces:
        return tuple(Group((number,), ()) for number in range(len(truths)))
    if len(truths) == len(pieces) == 1:
        return (Group((0,), (0,)),)
    joined = _paired(truths, pieces)
    matched = {truth for found in joined.values() for truth in found}
    touched = {number for run in joined for number in run}
    found_in = _found_inside([number for number in range(len(truths)) if number not in matched], truths, pieces)
    for piece, inside in found_in.items():
        touched.add(piece)
        new = [truth for truth in inside if truth not in matched]
        if new:
            joined.setdefault((piece,), []).extend(new)
            matched.update(new)
    groups = [Group(tuple(sorted(found)), run) for run, found in joined.items()]
    left = [number for number in range(len(truths)) if number not in matched]
    over = [number for number in range(len(pieces)) if number not in touched]
    return (*groups, *_leftovers(left, over, truths, pieces))


def pair(truths: Sequence[str], pieces: Sequence[str]) -> tuple[Group, ...]:
    """One piece at most for each block of the truth, the sum of their distances being least; then pieces left over."""
    if not truths or not pieces:
        return match(truths, pieces)
    partner = _assigned(_distances(truths, pieces))
    groups = [Group((truth,), (partner[truth],) if truth in partner else ()) for truth in range(len(truths))]
    over = [number for number in range(len(pieces)) if number not in partner.values()]
    return (*groups, *(Group((), (number,)) for number in over))


def surely_alike(truths: Sequence[str], pieces: Sequence[str]) -> tuple[int, ...]:
    """The pieces that are one of these truths beyond doubt."""
    if not truths or not pieces:
        return ()
    return tuple(int(number) for number in numpy.flatnonzero((_distances(truths, pieces) < SURE).any(axis=0)))


@dataclass(frozen=True)
class _Run:
    """Consecutive pieces, and how far they are, together, from the block of the truth that they fit best."""

    pieces: range
    distance: float


def _paired(truths: Sequence[str], pieces: Sequence[str]) -> dict[tuple[int, ...], list[int]]:
    """The pairs that are near enough, by their pieces."""
    runs = _with_runs(_runs(truths, pieces), len(pieces))
    distances = _distances(truths, [" ".join(pieces[number] for number in run) for run in runs])
    return {
        tuple(runs[column]): [truth]
        for truth, column in sorted(_assigned(distances).items())
        if distances[truth, column] <= APART
    }


def _leftovers(
    left: Sequence[int], over: Sequence[int], truths: Sequence[str], pieces: Sequence[str]
) -> Iterable[Group]:
    if not over:
        return [Group((truth,), (), twice=True) for truth in left]
    if not left:
        return [Group((), tuple(over))]
    # published quirk: here edits are counted, not their share of the length.
    edits = numpy.array([[edit.distance(truths[truth], pieces[piece]) for piece in over] for truth in left])
    partner = _assigned(edits)
    return [Group((truth,), (over[partner[row]],) if row in partner else ()) for row, truth in enumerate(left)]


def _runs(truths: Sequence[str], pieces: Sequence[str]) -> list[_Run]:
    """For each block of the truth that has no sure partner, its best run among the pieces that have none."""
    distances = _distances(truths, pieces)
    sure = distances < SURE
    free_truths = [int(number) for number in numpy.flatnonzero(~sure.any(axis=1))]
    free = [int(number) for number in numpy.flatnonzero(~sure.any(axis=0))]
    if not free:
        return []
    best = [_best_run(truths[number], pieces, free, distances[number].tolist()) for number in free_truths]
    return _apart(sorted(best, key=lambda run: run.pieces.start))


def _best_run(truth: str, pieces: Sequence[str], free: Sequence[int], distances: Sequence[float]) -> _Run:
    return min((_run(truth, pieces, start, set(free), distances[start]) for start in free), key=_by_distance)


def _run(truth: str, pieces: Sequence[str], start: int, free: set[int], distance: float) -> _Run:
    """As many pieces from here on as bring the run nearer to the truth; distance: of the first one alone."""
    end, joined = start + 1, pieces[start]
    while end in free and len(joined) <= len(truth):
        longer = f"{joined} {pieces[end]}"
        nearer = edit.normalised(truth, longer)
        if nearer > distance or not _is_inside(pieces[end], truth, PIECE):
            break
        if end == start + 1 and not _is_inside(joined, truth, PIECE, strict=False):
            break
        end, joined, distance = end + 1, longer, nearer
    return _Run(range(start, end), distance)


def _by_distance(run: _Run) -> float:
    return run.distance


def _apart(runs: Sequence[_Run]) -> list[_Run]:
    """Runs that share no piece: of those that do, the choice with the least mean distance."""
    chosen: list[_Run] = []
    cluster: list[_Run] = []
    for run in runs:
        if cluster and not any(_overlap(run, other) for other in cluster):
            chosen += _choose(cluster)
            cluster = []
        cluster.append(run)
    return chosen + _choose(cluster)


def _choose(cluster: Sequence[_Run]) -> list[_Run]:
    choices: list[list[_Run]] = []
    for run in cluster:
        added = False
        for choice in choices:
            same = next((place for place, other in enumerate(choice) if other.pieces == run.pieces), None)
            if same is not None:
                choice[same] = min(choice[same], run, key=_by_distance)
                added = True
            elif not any(_overlap(run, other) for other in choice):
                choice.append(run)
                added = True
        if not added:
            choices.append([run])
    return min(choices, key=lambda choice: sum(map(_by_distance, choice)) / len(choice), default=[])


def _overlap(first: _Run, second: _Run) -> bool:
    return first.pieces.start < second.pieces.stop and second.pieces.start < first.pieces.stop


def _with_runs(runs: Iterable[_Run], count: int) -> list[range]:
    """All pieces in order, those of a run together."""
    starts = {run.pieces.start: run.pieces for run in runs}
    together: list[range] = []
    place = 0
    while place < count:
        together.append(starts.get(place, range(place, place + 1)))
        place = together[-1].stop
    return together


def _found_inside(left: Sequence[int], truths: Sequence[str], pieces: Sequence[str]) -> dict[int, list[int]]:
    """For each piece in which some of the truth stands that is left, which."""
    found = {
        number: [truth for truth in left if _is_inside(truths[truth], piece, INSIDE)]
        for number, piece in enumerate(pieces)
    }
    return {number: inside for number, inside in found.items() if inside}


def _is_inside(part: str, whole: str, share: float, *, strict: bool = True) -> bool:
    """Whether some stretch of the whole, as long as the part, is nearer to it than this share of its length."""
    limit = math.ceil(share * len(part)) - 1 if strict else math.floor(share * len(part))
    start = 0
    while part and start <= len(whole) - len(part):
        beyond = edit.distance(whole[start : start + len(part)], part) - limit
        if beyond <= 0:
            return True
        start += (beyond + 1) // 2  # a step to the right takes away one character and adds one: two edits at most
    return False


def _distances(truths: Sequence[str], pieces: Sequence[str]) -> numpy.ndarray:
    """Normalised edit distances: [truths, pieces]."""
    process, distance = need("rapidfuzz.process"), need("rapidfuzz.distance")
    table: numpy.ndarray = process.cdist(
        truths, pieces, scorer=distance.Levenshtein.normalized_distance, dtype=numpy.float64
    )
    return table


def _assigned(costs: numpy.ndarray) -> dict[int, int]:
    """Row to column, one to one, with the least sum."""
    rows, columns = need("scipy.optimize").linear_sum_assignment(costs)
    return dict(zip(rows.tolist(), columns.tolist(), strict=True))
