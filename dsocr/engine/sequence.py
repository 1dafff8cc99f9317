"""One request's life in the engine: what it has written, how far it is read, and what its stream has not taken yet."""

from __future__ import annotations

import collections
from collections.abc import Sequence as Ids

import torch
from torch import Tensor

from dsocr.engine.encoder import Look
from dsocr.engine.lookup import Lookup
from dsocr.engine.loops import Loop, LoopWatch
from dsocr.engine.request import Delta, FinishReason, Request, Stats
from dsocr.engine.sampling import Choice, ngram_memory
from dsocr.model.tokenizer import IncrementalDecoder, Tokenizer

_LONG = 10  # ids: of n-grams that long hardly two begin alike and end otherwise


class Sequence:
    """Prompt and written ids, the blocks that hold their keys and values, and what a next id is chosen by.

    The first `read` of the ids are in the blocks. What it has written outlives a loss of its blocks.
    """

    def __init__(self, request: Request, tokenizer: Tokenizer, image: int, room: int) -> None:
        """`room`: most places for prompt and text together; `image` marks the places of vision rows."""
        self.ids = list(request.ids)
        self.prompt_places, self._views, self._sampling = len(request.ids), request.views, request.sampling
        self._vision_tokens = sum(views.layout.vision_tokens for views in request.views)
        self.blocks: list[int] = []
        self.read = 0
        self.look = Look(request.views) if request.views else None
        self.deltas: collections.deque[Delta] = collections.deque()
        self.error: Exception | None = None
        self.cancelled = self.over = False
        self._tokens_out = self._decode_steps = self._decode_tokens = 0
        self._encode_seconds = self._prefill_seconds = self._decode_seconds = 0.0
        sampling, left = request.sampling, room - len(request.ids)
        most = left if sampling.max_tokens is None else min(sampling.max_tokens, left)
        self._end = len(request.ids) + most
        self._limit: FinishReason = "length" if most == sampling.max_tokens else "context"
        self._eos, self._image = tokenizer.eos, image
        self._memory = ngram_memory(sampling, request.ids, tokenizer.td)
        self._generator = _generator(sampling.seed)
        # A guess is no place for an image.
        hints = [tuple(index for index in hint if index != image) for hint in request.hints]
        self._lookup = Lookup(hints) if any(hints) and not sampling.temperature else None
        self._writer = Writer(tokenizer, sampling.stop, skip_special=sampling.skip_special)
        self._watch = LoopWatch() if sampling.stop_loops else None
        self.loop: Loop | None = None
        if most == 0:
            self._finish(self._limit)

    @property
    def stats(self) -> Stats:
        """What it took so far."""
        return Stats(
            prompt_places=self.prompt_places,
            vision_tokens=self._vision_tokens,
            tokens_out=self._tokens_out,
            decode_tokens=self._decode_tokens,
            decode_steps=self._decode_steps,
            encode_seconds=self._encode_seconds,
            prefill_seconds=self._prefill_seconds,
            decode_seconds=self._decode_seconds,
        )

    @property
    def unread(self) -> int:
        """How many places a pass has yet to bring."""
        return len(self.ids) - self.read

    @property
    def ready(self) -> bool:
        """Whether its next places can be read now: their pages are encoded, or behind them."""
        return self.look is None or self.look.rows is not None

    @property
    def tells_logprobs(self) -> bool:
        """Whether its deltas tell how sure the network was."""
        return self._sampling.logprobs

    @property
    def started(self) -> bool:
        """Whether it has written anything."""
        return self._tokens_out > 0

    def vision(self, count: int) -> list[Tensor]:
        """The vision rows among the next `count` places, none or one tensor [places, width]."""
        if self.look is None or self.look.rows is None:
            return []
        first = self.ids[: self.read].count(self._image)
        last = first + self.ids[self.read : self.read + count].count(self._image)
        return [self.look.rows[first:last]]

    def guesses(self, places: int) -> tuple[int, ...]:
        """Ids that may come next, to be tried beside its last one in as many places."""
        if self._lookup is None or self.unread != 1 or self.read < self.prompt_places:
            return ()
        return self._lookup.guess(min(places, self._end - len(self.ids) - 1))

    def have_guessed(self, guessed: int, right: int) -> None:
        """So many ids were tried, and so many of them came."""
        if self._lookup is not None and guessed:
            self._lookup.tell(guessed, right)

    def have_read(self, count: int, seconds: float, written: int) -> None:
        """A pass of so many seconds has stored `count` more places, the last ones for what it has brought itself."""
        if self.read < self.prompt_places or not written or count > written:
            self._prefill_seconds += seconds
        else:
            self._decode_steps += 1
            self._decode_tokens += written
            self._decode_seconds += seconds
        self.read += count
        if self.look is not None and self.read >= self.prompt_places:
            self._encode_seconds += self.look.seconds
            self.look = None  # the rows are let go; the views stay, should it ever be put back

    def lose_blocks(self) -> list[int]:
        """It is put back: its places are to be read again. Gives the blocks back."""
        blocks, self.blocks, self.read = self.blocks, [], 0
        if self.look is None and self._views:
            self.look = Look(self._views)
        return blocks

    @property
    def exact(self) -> bool:
        """Whether its next id may be far from the likeliest: drawn, or what is left when short n-grams ban many."""
        return self._sampling.temperature > 0 or (self._memory is not None and self._sampling.ngram_size < _LONG)

    def choice(self) -> Choice:
        """What its next id is chosen by."""
        return Choice(self._sampling, self._generator, self._memory.banned() if self._memory else ())

    def write(self, index: int, logprob: float | None = None) -> None:
        """Its next id, and how sure the network was of it."""
        self._tokens_out += 1
        if index == self._eos:
            return self._finish("stop")
        self.ids.append(index)
        text = self._writer.push(index)
        self.deltas.append(Delta(text, (index,), logprob=logprob))
        if self._writer.stopped is not None:
            return self._finish("stop")
        self.loop = self._watch.feed(text) if self._watch else None
        if self.loop:
            return self._finish("loop")
        if len(self.ids) == self._end:
            return self._finish(self._limit)
        if self._memory:
            self._memory.push(index)
        if self._lookup:
            self._lookup.push(index)
        return None

    def fail(self, error: Exception) -> None:
        """It ends with an error, which its stream raises."""
        self.error, self._views = error, ()
        self.over = True  # last: whoever sees it finds the error

    def _finish(self, reason: FinishReason) -> None:
        self.deltas.append(Delta(self._writer.finish(), (), reason, stop_text=self._writer.stopped))
        self._views = ()
        self.over = True  # last: whoever sees it finds all deltas


class Writer:
    """Ids to text as it may be shown: whole characters, and nothing that could yet become a stop text."""

    def __init__(self, tokenizer: Tokenizer, stops: Ids[str], *, skip_special: bool = False) -> None:
        self._decoder = IncrementalDecoder(tokenizer, skip_special)
        self._stops = stops
        self._held = ""
        self.stopped: str | None = None

    def push(self, index: int) -> str:
        """The text that is certain now; `stopped` is the stop text that is complete, which is cut off."""
        return self._write(self._decoder.push(index))

    def finish(self) -> str:
        """What was held back, when no stop text can come any more."""
        if self.stopped is not None:
            return ""
        return self._write(self._decoder.finish()) + self._held

    def _write(self, text: str) -> str:
        text = self._held + text
        found = [(text.index(stop), stop) for stop in self._stops if stop in text]
        first, self.stopped = min(found, default=(len(text) - self._uncertain(text), None))
        self._held = text[first:] if self.stopped is None else ""
        return text[:first]

    def _uncertain(self, text: str) -> int:
        """How many characters at the end begin a stop text."""
        return max((n for stop in self._stops for n in range(1, len(stop)) if text.endswith(stop[:n])), default=0)


def _generator(seed: int | None) -> torch.Generator:
    generator = torch.Generator()
    if seed is None:
        generator.seed()
    else:
        generator.manual_seed(seed)
    return generator
