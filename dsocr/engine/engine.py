"""The loop: in each step, every running text gets its next token, and a piece of a new prompt is read beside them."""

from __future__ import annotations

import collections
import threading
import time
import weakref
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from dsocr.engine.batch import Batch, Span
from dsocr.engine.encoder import Encoder
from dsocr.engine.kv_cache import BLOCK, KVPool, block_bytes, blocks_for, show_bytes
from dsocr.engine.loops import Loop
from dsocr.engine.request import Delta, Generation, Request, Stats
from dsocr.engine.sampling import sample
from dsocr.engine.scheduler import Scheduler
from dsocr.engine.sequence import Sequence
from dsocr.errors import InputError
from dsocr.kernels.memory import available_memory
from dsocr.model.network import Network
from dsocr.model.tokenizer import Tokenizer

DEFAULT_BATCH = 8
_ALONE = 4  # times as many prompt rows are read in a step that no running text waits for
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

    def stream(self, request: Request) -> Stream:
        """Let a request join: one delta for each token as it comes, then one with the finish reason and what was held
        back. The stream can be read at once, or later.

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

    def generate(self, request: Request) -> Generation:
        """The stream, joined."""
        started = time.perf_counter()
        stream, deltas, first = self.stream(request), list[Delta](), started
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

    def _choose_rows(self) -> list[Turn]:
        """Whose next places this step brings, and how many: one of each text, and prompts as far as the chunk goes."""
        running = self.scheduler.running
        decoding = any(sequence.unread == 1 for sequence in running)
        left = self._chunk if decoding else _ALONE * self._chunk
        chosen: list[Turn] = []
        for sequence in running:  # while this goes on, some may be put back: always from the end
            if not sequence.ready or not self.scheduler.make_room(sequence):
                continue
            count = 1 if sequence.unread == 1 else min(sequence.unread, left)
            if count:
                # Guesses never take a block: what they would need another for is not tried.
                room = len(sequence.blocks) * BLOCK - len(sequence.ids)
                chosen.append(Turn(sequence, count, sequence.guesses(room)))
                left -= count if count > 1 else 0
        return chosen

    def _run(self, turns: list[Turn]) -> None:
        """One pass: the rows are read, and each sequence that is read whole gets its next id, or several."""
        began = time.perf_counter()
        try:
            answers = self._compute(turns)
        except Exception as error:
            # It costs the one that came last; what the others have is untouched, and the next step tries without it.
            self._fail(turns[-1].sequence, error)
            return
        seconds = time.perf_counter() - began
        first = 0
        for turn in turns:
            last = first + turn.wanted
            try:
                self._write(turn, answers.of(first, last), seconds)
            except Exception as error:  # whatever it is, it costs nobody else, and is raised where the stream is read
                self._fail(turn.sequence, error)
            first = last

    def _write(self, turn: Turn, answers: Answers, seconds: float) -> None:
        """What one sequence says: its next id, and another for each guess that was right so far."""
        sequence, written = turn.sequence, 0
        if turn.wanted and not sequence.started and bool(answers.logits[0].isnan().any()):
            wrong = f"the network's numbers do not fit into {self.network.dtype}; use dtype float32"
            return self._fail(sequence, InputError(wrong))
        # Written before it is counted as read: whatever interrupts us here, reading on is right.
        for number, guess in enumerate((*turn.guesses, None)[: len(answers.likeliest)]):
            choice, index = sequence.choice(), answers.likeliest[number]
            if choice.sampling.temperature or index in choice.banned:
                index = sample(answers.logits[number], choice)
            sequence.write(index, answers.logprob(number, index) if choice.sampling.logprobs else None)
            written += 1
            if index != guess or sequence.over:
                break
        sequence.have_guessed(len(turn.guesses), written - 1)
        sequence.have_read(turn.count + max(0, written - 1), seconds, written)
        if sequence.over:
            self._dismiss(sequence)

    # Inference mode is entered for each run of the network and never held across a yield,
    # where it would reach into the code of whoever reads the stream.
    @torch.inference_mode()
    def _compute(self, turns: list[Turn]) -> Answers:
        """What comes at the places that a turn wants, turn after turn."""
        network, wanted, spans = self.network, list[int](), list[Span]()
        ids, vision = list[int](), list[Tensor]()
        for turn in turns:
            sequence, count = turn.sequence, turn.count
            ids += (*sequence.ids[sequence.read : sequence.read + count], *turn.guesses)
            vision += sequence.vision(count)
            wanted += range(len(ids) - turn.wanted, len(ids))
            end = sequence.read + count + len(turn.guesses)
            spans.append(Span(sequence.blocks, sequence.read, end, sequence.prompt_places, sequence.exact))
        x = network.embed(torch.tensor([ids]), torch.cat(vision) if vision else None)[0]
        logits = network.step(x, Batch(self.pool, spans), wanted)
        # An answer holds no image: the id marks places that wait for vision rows.
        logits[:, network.image_token_id] = float("-inf")
        likeliest, tops = logits.argmax(-1), list[float]()
        if any(turn.sequence.tells_logprobs for turn in turns):
            tops = (logits.gather(-1, likeliest[:, None])[:, 0] - logits.logsumexp(-1)).tolist()
        return Answers(logits, likeliest.tolist(), tops)  # all rows at once: a device is waited for only here

    def _fail(self, sequence: Sequence, error: Exception) -> None:
        sequence.fail(error)
        self._dismiss(sequence)

    def _dismiss(self, sequence: Sequence) -> None:
        if sequence.look is not None:
            sequence.look.cancelled = True
        self.scheduler.leave(sequence)


@dataclass(frozen=True)
class Answers:
    """Logits [n, vocab], the likeliest id of each row, and, where somebody asks, how likely it is (a logarithm)."""

    logits: Tensor
    likeliest: list[int]
    tops: list[float]

    def of(self, first: int, last: int) -> Answers:
        """Those of some rows."""
        return Answers(self.logits[first:last], self.likeliest[first:last], self.tops[first:last])

    def logprob(self, row: int, index: int) -> float:
        """The logarithm of the probability of an id."""
        if index == self.likeliest[row]:
            return self.tops[row]
        return float(self.logits[row].log_softmax(-1)[index])


@dataclass(frozen=True)
class Turn:
    """What one sequence has read in a pass: `count` more of its places, and guesses of what comes after them."""

    sequence: Sequence
    count: int
    guesses: tuple[int, ...]

    @property
    def wanted(self) -> int:
        """How many of its rows, the last ones, are to say what comes next: none where it is not read whole."""
        return 1 + len(self.guesses) if self.count == self.sequence.unread else 0


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

    @property
    def loop(self) -> Loop | None:
        """Where the text began to repeat itself, when that has ended it."""
        return self._sequence.loop

    def advance(self) -> bool:
        """One step of the engine, if no delta can be taken yet; False if one can, or none will come."""
        if self.over or self._sequence.deltas:
            return False
        self._engine.step()
        return True

    def take(self) -> list[Delta]:
        """All deltas that wait, without a step; once they are gone, raises what has ended the request, if anything has.

        For the thread that calls `step`.
        """
        sequence, taken = self._sequence, list[Delta]()
        while sequence.deltas and not sequence.cancelled:
            taken.append(sequence.deltas.popleft())
        if not taken and sequence.error is not None:
            raise sequence.error
        return taken

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
