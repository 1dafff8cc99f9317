"""From logits to the next token: temperature, top-p, and no repeated n-grams."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from dsocr.engine.request import Sampling


def windowed_ngram_ban(ids: Sequence[int], ngram: int, window: int, whitelist: Collection[int]) -> set[int]:
    """Ids that would repeat an n-gram which starts in the last `window` of the generated ids.

    The window counts from an n-gram's start, so a window shorter than `ngram` bans nothing.
    """
    if ngram < 2:  # published quirk: n = 1 never bans
        return set()
    starts = range(max(0, len(ids) - window), len(ids) - ngram + 1)
    return _completions(ids, ngram, starts) - set(whitelist)


def huggingface_ngram_ban(ids: Sequence[int], ngram: int) -> set[int]:
    """Ids that would repeat any n-gram of the whole sequence, prompt included."""
    return _completions(ids, ngram, range(len(ids) - ngram + 1))


def _completions(ids: Sequence[int], ngram: int, starts: range) -> set[int]:
    """The last ids of the n-grams at `starts` whose other ids are the sequence's end."""
    known = ngram - 1
    end = list(ids[len(ids) - known :])
    return {ids[start + known] for start in starts if list(ids[start : start + known]) == end}


class NgramMemory:
    """The bans above for a growing sequence, without reading it again at each step."""

    def __init__(self, ngram: int, window: int | None = None, whitelist: Collection[int] = ()) -> None:
        """Window None is the ban over the whole sequence."""
        self._known, self._window, self._whitelist = ngram - 1, window, frozenset(whitelist)
        self._ids: list[int] = []
        self._starts: defaultdict[tuple[int, ...], list[int]] = defaultdict(list)

    def push(self, index: int) -> None:
        """One more id of the sequence."""
        if len(self._ids) >= self._known:
            self._starts[self._end()].append(len(self._ids) - self._known)
        self._ids.append(index)

    def banned(self) -> set[int]:
        """What may not come next."""
        if (self._window is not None and not self._known) or len(self._ids) < self._known:
            return set()
        first = 0 if self._window is None else len(self._ids) - self._window
        banned = set()
        for start in reversed(self._starts.get(self._end(), ())):
            if start < first:
                break
            banned.add(self._ids[start + self._known])
        return banned - self._whitelist

    def _end(self) -> tuple[int, ...]:
        return tuple(self._ids[len(self._ids) - self._known :])


def ngram_memory(sampling: Sampling, prompt: Sequence[int], cells: Collection[int]) -> NgramMemory | None:
    """The ban that a sampling asks for; `cells` are spared by the windowed rule unless it names its own."""
    if sampling.ngram_rule == "none":
        return None
    if sampling.ngram_rule == "windowed":
        spared = cells if sampling.whitelist is None else sampling.whitelist
        return NgramMemory(sampling.ngram_size, sampling.ngram_window, spared)
    memory = NgramMemory(sampling.ngram_size)
    for index in prompt:
        memory.push(index)
    return memory


@dataclass(frozen=True)
class Choice:
    """What one sequence's next id is chosen by: its sampling, its generator (on the CPU) and the ids banned now."""

    sampling: Sampling
    generator: torch.Generator | None = None
    banned: Collection[int] = ()


def sample(logits: Tensor, choice: Choice) -> int:
    """One id from logits [vocab], which stay as they are: the likeliest at temperature 0, else drawn; none banned."""
    if 0 < len(choice.banned) < len(logits):  # were every id banned, nothing would be left to say
        logits = logits.clone()
        logits[torch.tensor(list(choice.banned), device=logits.device)] = float("-inf")
    return _draw(logits, choice) if choice.sampling.temperature else int(logits.argmax())


def _draw(logits: Tensor, choice: Choice) -> int:
    # On the CPU, so that a seed draws the same on every device.
    logits = logits.float().cpu()
    # The likeliest becomes 0 first: a tiny temperature then divides into -inf, never into inf - inf.
    probabilities = torch.softmax((logits - logits.max()).double() / choice.sampling.temperature, dim=-1)
    return int(torch.multinomial(_nucleus(probabilities, choice.sampling.top_p), 1, generator=choice.generator))


def _nucleus(probabilities: Tensor, top_p: float) -> Tensor:
    """Only the likeliest ids that together reach `top_p` keep their probability; the first always does."""
    if top_p == 1:
        return probabilities
    ordered, order = probabilities.sort(descending=True, stable=True)
    ordered[ordered.cumsum(0) - ordered >= top_p] = 0
    return torch.zeros_like(probabilities).scatter(0, order, ordered)
