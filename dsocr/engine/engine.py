"""The loop: in each step, every running text gets its next token, and a piece of a new prompt is read beside them."""

from __future__ import annotations

import collections
import threading
import time
import weakref
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from dsocr.engine.batch import Batch, Span
from dsocr.engine.encoder import Encoder
from dsocr.engine.kv_cache import BLOCK, KVPool, available_memory, block_bytes, blocks_for, show_bytes
from dsocr.engine.request import Delta, Generation, Request, Stats
from dsocr.engine.sampling import choose
from dsocr.engine.scheduler import Scheduler
from dsocr.engine.sequence import Sequence
from dsocr.errors import InputError
from dsocr.model.network import Network
from dsocr.model.tokenizer import Tokenizer

DEFAULT_BATCH = 8
_ALONE = 4  # times as many prompt rows are read in a step that no running text waits for
_NO_NUMBER = -1  # instead of an id
_NAP = 1.0  # seconds after which whoever waits for another thread looks for himself


class Engine:
    """A network and its tokenizer, answering many requests at once; a request may join or leave at any step.

    Whoever reads a stream drives the engine; a thread of its own that calls `step` may do so as well.
    """

    def __init__(
        self,
        network: Network,
        tokenizer: Tokenizer,
        *,
        memory: int | None = None,
        batch: int = DEFAULT_BATCH,
        context_limit: int | None = None,
        prefill_chunk: int = 256,
    ) -> None:
        """Prompt and generated ids together never exceed `context_limit` or what the network was built for.

        memory: bytes for keys and values, None for half of what is free now; never more is set aside than `batch`
        requests at once can fill. prefill_chunk: most rows of prompts read beside running texts in one step.
        """
        if batch < 1:
            raise InputError(f"batch is {batch}; it must be 1 or more")
        self.network = network.eval()
        self.tokenizer = tokenizer
        config = network.config.decoder
        most = config.max_positions
        self.context_limit = most if context_limit is None else min(context_limit, most)
        shape = config.layers, config.kv_heads, config.head_dim
        budget = available_memory(network.device) // 2 if memory is None else memory
        self._block_bytes = block_bytes(*shape, network.dtype)
        blocks = min(budget // self._block_bytes, batch * blocks_for(self.context_limit))
        self.pool = KVPool(*shape, blocks, network.dtype, network.device)
        self.scheduler = Scheduler(self.pool, batch)
        self._batch, self._chunk = batch, prefill_chunk
        self._room = min(self.context_limit, blocks * BLOCK)
        # Both are filled from any thread at any moment, by the garbage collector too, and emptied by a step.
        self._arrived: collections.deque[Sequence] = collections.deque()
        self._left: collections.deque[Sequence] = collections.deque()
        self._lock, self._news = threading.RLock(), threading.Event()
        self._closed = False
        self._encoder = Encoder(network, self._news.set)
        weakref.finalize(self, self._encoder.close)  # at the latest when Python ends

    def submit(self, request: Request) -> Stream:
        """Let a request join; its stream can be read at once, or later.

        Raises InputError at once, before any work, when the prompt cannot be read.
        """
        if self._closed:
            raise RuntimeError("the engine is closed")
        self._check(request)
        sequence = Sequence(request, self.tokenizer, self.network.image_token_id, self._room)
        if not sequence.over:
            self._arrived.append(sequence)
            self._news.set()
        return Stream(self, sequence)

    def stream(self, request: Request) -> Stream:
        """One delta for each token as it comes, then one with the finish reason and the text that was held back.

        Raises InputError at once, before any work, when the prompt cannot be read.
        """
        return self.submit(request)

    def generate(self, request: Request) -> Generation:
        """The stream, joined."""
        started = time.perf_counter()
        stream, deltas, first = self.submit(request), list[Delta](), started
        for delta in stream:
            first = first if deltas else time.perf_counter()
            deltas.append(delta)
        reason = deltas[-1].finish_reason
        assert reason is not None  # a stream ends with one
        return Generation(
            text="".join(delta.text for delta in deltas),
            ids=tuple(index for delta in deltas for index in delta.ids),
            finish_reason=reason,
            stats=stream.stats,
            seconds_to_first=first - started,
            seconds=time.perf_counter() - started,
        )

    def step(self) -> bool:
        """One pass of the network, or a wait for pages that are being encoded; False when there is nothing to do."""
        if not self._lock.acquire(blocking=False):
            self._news.wait(_NAP)  # another thread runs a step: it may bring what this one is after
            return True
        try:
            self._news.clear()
            self._turn_over()
            rows = self._choose_rows()
            if rows:
                self._run(rows)
                self._news.set()
            elif self.scheduler.idle:
                return False
        finally:
            self._lock.release()
        if not rows:
            self._news.wait(_NAP)  # all that run wait for their pages
        return True

    def close(self) -> None:
        """Every request ends here, and so does the thread that encodes."""
        self._closed = True
        self._encoder.close()
        with self._lock:
            self._turn_over()
            for sequence in (*self.scheduler.running, *self.scheduler.waiting):
                sequence.cancelled = True
                self._dismiss(sequence)

    def cancel(self, sequence: Sequence) -> None:
        """Its stream has ended; the next step frees what it holds. For Stream, from any thread at any moment."""
        sequence.cancelled = True
        self._left.append(sequence)

    def _check(self, request: Request) -> None:
        ids, rows = request.ids, self.network.config.decoder.vocab_size
        if not ids:
            raise InputError("the prompt has no ids; it starts with bos")
        if len(ids) > self.context_limit:
            raise InputError(
                f"the prompt takes {len(ids)} places, the model holds {self.context_limit}: "
                "choose a smaller mode or a shorter prompt"
            )
        if len(ids) > self._room:
            needed = show_bytes(blocks_for(len(ids)) * self._block_bytes)
            there = show_bytes(self.pool.blocks * self._block_bytes)
            raise InputError(
                f"the prompt takes {len(ids)} places, {needed}, and there is room for {self._room}, {there}: "
                "raise --memory or choose a smaller mode"
            )
        if not 0 <= min(ids) <= max(ids) < rows:
            raise InputError(f"the prompt has ids from {min(ids)} to {max(ids)}, the model knows 0 to {rows - 1}")
        places = ids.count(self.network.image_token_id)
        given = sum(len(views.layout) for views in request.views)
        if places != given:
            raise InputError(f"the prompt has {places} image places, its views take {given}")

    def _turn_over(self) -> None:
        """Those who leave, leave; those who come, come; who may run, runs; pages that are needed soon are encoded."""
        scheduler = self.scheduler
        while self._arrived:
            scheduler.waiting.append(self._arrived.popleft())
        while self._left:
            self._dismiss(self._left.popleft())
        scheduler.admit()
        soon = islice(scheduler.waiting, self._batch)
        for sequence in [*scheduler.running, *soon]:
            look = sequence.look
            if look is not None and look.error is not None:
                self._fail(sequence, look.error)
            elif look is not None and not look.asked:
                self._encoder.ask(look, first=sequence.started)

    def _choose_rows(self) -> list[tuple[Sequence, int]]:
        """Whose next places this step brings, and how many: one of each text, and prompts as far as the chunk goes."""
        running = self.scheduler.running
        decoding = any(sequence.unread == 1 for sequence in running)
        left = self._chunk if decoding else _ALONE * self._chunk
        chosen: list[tuple[Sequence, int]] = []
        for sequence in running:  # while this goes on, some may be put back: always from the end
            if not sequence.ready or not self.scheduler.make_room(sequence):
                continue
            count = 1 if sequence.unread == 1 else min(sequence.unread, left)
            if count:
                chosen.append((sequence, count))
                left -= count if count > 1 else 0
        return chosen

    def _run(self, rows: list[tuple[Sequence, int]]) -> None:
        """One pass: the rows are read, and each sequence that is read whole gets its next id."""
        began = time.perf_counter()
        try:
            chosen = self._compute(rows)
        except (MemoryError, RuntimeError) as error:
            # It costs the one that came last; what the others have is untouched, and the next step tries without it.
            self._fail(rows[-1][0], error)
            return
        seconds = time.perf_counter() - began
        for (sequence, count), index in zip(rows, chosen, strict=True):
            # Written before it is counted as read: whatever interrupts us here, reading on is right.
            if index == _NO_NUMBER:
                wrong = f"the network's numbers do not fit into {self.network.dtype}; use dtype float32"
                self._fail(sequence, InputError(wrong))
                continue
            if index is not None:
                sequence.write(index)
            sequence.have_read(count, seconds)
            if sequence.over:
                self._dismiss(sequence)

    # Inference mode is entered for each run of the network and never held across a yield,
    # where it would reach into the code of whoever reads the stream.
    @torch.inference_mode()
    def _compute(self, rows: list[tuple[Sequence, int]]) -> list[int | None]:
        """What each sequence says next: None for those that are not read whole by this."""
        network, whole, wanted = self.network, list[Sequence](), list[int]()
        ids, vision = list[int](), list[Tensor]()
        for sequence, count in rows:
            ids += sequence.ids[sequence.read : sequence.read + count]
            vision += sequence.vision(count)
            if count == sequence.unread:
                whole.append(sequence)
                wanted.append(len(ids) - 1)
        x = network.embed(torch.tensor([ids], device=network.device), torch.cat(vision) if vision else None)[0]
        spans = [Span(sequence.blocks, sequence.read, sequence.read + count) for sequence, count in rows]
        logits = network.step(x, Batch(self.pool, spans), wanted)
        # An answer holds no image: the id marks places that wait for vision rows.
        logits[:, network.image_token_id] = float("-inf")
        said = dict(zip(whole, self._say(logits, whole), strict=True))
        return [said.get(sequence) for sequence, _ in rows]

    def _say(self, logits: Tensor, whole: list[Sequence]) -> list[int]:
        """The next id of each, from its row of logits [n, vocab]; a new text must have numbers to begin with."""
        broken = [False] * len(whole)
        if not all(sequence.started for sequence in whole):
            broken = logits.isnan().any(-1).tolist()
            logits = logits.nan_to_num()
        chosen = choose(logits, [sequence.choice() for sequence in whole])
        return [_NO_NUMBER if bad else index for bad, index in zip(broken, chosen, strict=True)]

    def _fail(self, sequence: Sequence, error: Exception) -> None:
        sequence.fail(error)
        self._dismiss(sequence)

    def _dismiss(self, sequence: Sequence) -> None:
        if sequence.look is not None:
            sequence.look.cancelled = True
        self.scheduler.leave(sequence)


class Stream:
    """The deltas of one request; who reads it drives the engine. Left early and let go of, it is cancelled."""

    def __init__(self, engine: Engine, sequence: Sequence) -> None:
        self._engine, self._sequence = engine, sequence

    @property
    def over(self) -> bool:
        """Whether nothing more will be written; deltas may still wait to be taken."""
        return self._sequence.over or self._sequence.cancelled

    @property
    def stats(self) -> Stats:
        """What it took so far."""
        return self._sequence.stats

    def advance(self) -> bool:
        """One step of the engine, if no delta can be taken yet; False if one can, or none will come."""
        if self.over or self._sequence.deltas:
            return False
        self._engine.step()
        return True

    def cancel(self) -> None:
        """Write no more; the deltas that were not taken are gone, and the next step frees what the request holds."""
        if not self.over:
            self._engine.cancel(self._sequence)

    close = cancel
    __del__ = cancel

    def __iter__(self) -> Iterator[Delta]:
        return self

    def __next__(self) -> Delta:
        sequence = self._sequence
        while not sequence.cancelled:
            over = sequence.over  # looked at before the deltas: another thread may add the last ones in between
            if sequence.deltas:
                return sequence.deltas.popleft()
            if over and sequence.error is not None:
                raise sequence.error
            if over:
                break
            self._engine.step()
        raise StopIteration
