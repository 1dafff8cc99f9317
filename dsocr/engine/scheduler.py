"""Who waits, who runs, and who is put back when no block is left: first come, first served, and nobody is lost."""

from __future__ import annotations

import collections

from dsocr.engine.kv_cache import KVPool, blocks_for
from dsocr.engine.sequence import Sequence


class Scheduler:
    """Sequences in the order in which they arrived: all that run came before all that wait."""

    def __init__(self, pool: KVPool, batch: int) -> None:
        """At most `batch` sequences run at once, and only as many as the pool has blocks for."""
        self._pool, self._batch = pool, batch
        self.waiting: collections.deque[Sequence] = collections.deque()
        self.running: list[Sequence] = []

    @property
    def idle(self) -> bool:
        """Whether nobody is here."""
        return not self.waiting and not self.running

    def admit(self) -> None:
        """Those who have waited longest run as soon as there are blocks for what they are and one more."""
        while self.waiting and len(self.running) < self._batch:
            needed = blocks_for(len(self.waiting[0].ids))
            if min(needed + 1, self._pool.blocks) > self._pool.free:
                return  # nobody overtakes
            sequence = self.waiting.popleft()
            sequence.blocks = self._pool.take(needed)
            self.running.append(sequence)

    def make_room(self, sequence: Sequence) -> bool:
        """A running sequence gets blocks for all its places; False when it was put back itself.

        Where none is free, the one that arrived last goes back to the front of those who wait.
        """
        while len(sequence.blocks) < blocks_for(len(sequence.ids)):
            if self._pool.free:
                sequence.blocks += self._pool.take(1)
                continue
            last = self.running.pop()
            self._pool.give_back(last.lose_blocks())
            self.waiting.appendleft(last)
            if last is sequence:
                return False
        return True

    def leave(self, sequence: Sequence) -> None:
        """It is over; its blocks are free."""
        if sequence in self.running:
            self.running.remove(sequence)
            self._pool.give_back(sequence.lose_blocks())
        elif sequence in self.waiting:
            self.waiting.remove(sequence)
