"""Guesses what comes next by looking it up: in a hint such as a PDF's own text layer, and in the text so far."""

from __future__ import annotations

from collections.abc import Iterable

_KEYS = (8, 4, 2)  # ids at the end of the text that are looked for, the most telling first
_FIRST, _MOST = 4, 16  # ids guessed at once, at the beginning and at most
_PAYS = 0.5  # the share of right guesses that is worth a longer pass
_PAUSE = 64  # ids written without guessing, when guesses have not paid
_MEMORY = 0.8  # how much of the past counts in that share


class Lookup:
    """Guesses for one growing text. They are only ever tried: what is written does not depend on them."""

    def __init__(self, hints: Iterable[tuple[int, ...]] = ()) -> None:
        """hints: ids that may come, each in its order."""
        self._ids: list[int] = []
        self._next: list[dict[tuple[int, ...], int]] = [{} for _ in _KEYS]
        self._most, self._right, self._pause = _FIRST, 1.0, 0
        for hint in hints:
            for index in hint:
                self._add(index)
        self._written = len(self._ids)

    def push(self, index: int) -> None:
        """One more id of the text."""
        self._pause = max(0, self._pause - 1)
        self._add(index)

    def guess(self, most: int) -> tuple[int, ...]:
        """At most so many ids that may come next; none where nothing like the end of the text was seen before."""
        if self._pause:
            return ()
        for size, following in zip(_KEYS, self._next, strict=True):
            if len(self._ids) - self._written >= size:
                at = following.get(tuple(self._ids[-size:]))
                if at is not None:
                    return tuple(self._ids[at : at + min(most, self._most)])
        return ()

    def tell(self, guessed: int, right: int) -> None:
        """How many ids were guessed, and how many of them came: more or fewer are guessed from now on."""
        self._right = _MEMORY * self._right + (1 - _MEMORY) * right / guessed
        self._most = min(_MOST, 2 * self._most) if right == guessed else max(2, right + 1)
        if self._right < _PAYS:
            self._pause, self._right = _PAUSE, 1.5 * _PAYS

    def _add(self, index: int) -> None:
        ids = self._ids
        for size, following in zip(_KEYS, self._next, strict=True):
            if len(ids) >= size:
                following[tuple(ids[-size:])] = len(ids)
        ids.append(index)
