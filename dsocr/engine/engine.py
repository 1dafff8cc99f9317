"""The loop: read the prompt once, then token after token, each delivered as it comes."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from itertools import islice

import torch
from torch import Tensor

from dsocr.engine.kv_cache import KVCache
from dsocr.engine.request import Delta, FinishReason, Generation, Request
from dsocr.engine.sampling import ngram_memory, sample
from dsocr.errors import InputError
from dsocr.model.network import Network
from dsocr.model.tokenizer import IncrementalDecoder, Tokenizer

ROOM = 512  # places a cache holds beyond the prompt before it grows


class Engine:
    """A network and its tokenizer, answering one request at a time."""

    def __init__(self, network: Network, tokenizer: Tokenizer, *, context_limit: int | None = None) -> None:
        """Prompt and generated ids together never exceed `context_limit` or what the network was built for."""
        self.network = network.eval()
        self.tokenizer = tokenizer
        most = network.config.decoder.max_positions
        self.context_limit = most if context_limit is None else min(context_limit, most)

    def stream(self, request: Request) -> Iterator[Delta]:
        """One delta for each token as it comes, then one with the finish reason and the text that was held back.

        Raises InputError at once, before any work, when the prompt cannot be read.
        """
        self._check(request)
        return self._deltas(request)

    def generate(self, request: Request) -> Generation:
        """The stream, joined."""
        started = time.perf_counter()
        deltas: list[Delta] = []
        first = started
        for delta in self.stream(request):
            first = first if deltas else time.perf_counter()
            deltas.append(delta)
        reason = deltas[-1].finish_reason
        assert reason is not None  # a stream ends with one
        return Generation(
            text="".join(delta.text for delta in deltas),
            ids=tuple(index for delta in deltas for index in delta.ids),
            finish_reason=reason,
            prompt_places=len(request.ids),
            seconds_to_first=first - started,
            seconds=time.perf_counter() - started,
        )

    def _check(self, request: Request) -> None:
        ids, rows = request.ids, self.network.config.decoder.vocab_size
        if not ids:
            raise InputError("the prompt has no ids; it starts with bos")
        if len(ids) > self.context_limit:
            raise InputError(
                f"the prompt takes {len(ids)} places, the model holds {self.context_limit}: "
                "choose a smaller mode or a shorter prompt"
            )
        if not 0 <= min(ids) <= max(ids) < rows:
            raise InputError(f"the prompt has ids from {min(ids)} to {max(ids)}, the model knows 0 to {rows - 1}")
        places = ids.count(self.network.image_token_id)
        given = sum(len(views.layout) for views in request.views)
        if places != given:
            raise InputError(f"the prompt has {places} image places, its views take {given}")

    def _deltas(self, request: Request) -> Iterator[Delta]:
        wanted, room = request.sampling.max_tokens, self.context_limit - len(request.ids)
        most = room if wanted is None else min(wanted, room)
        writer = _Writer(self.tokenizer, request.sampling.stop)
        reason: FinishReason = "length" if most == wanted else "context"
        for index in islice(self._tokens(request), most):
            if index == self.tokenizer.eos:
                reason = "stop"
                break
            yield Delta(writer.push(index), (index,))
            if writer.stopped:
                reason = "stop"
                break
        yield Delta(writer.finish(), (), reason)

    def _tokens(self, request: Request) -> Iterator[int]:
        """The chosen ids, without end; the network runs only when the next one is asked for."""
        sampling = request.sampling
        memory = ngram_memory(sampling, request.ids, self.tokenizer.td)
        generator = _generator(sampling.seed)
        cache = self._cache(len(request.ids) + min(sampling.max_tokens or ROOM, ROOM))
        logits = self._read(request, cache)
        while True:
            index = sample(logits, sampling, generator, memory.banned() if memory else ())
            yield index
            if memory:
                memory.push(index)
            logits = self._extend((index,), None, cache)

    def _cache(self, capacity: int) -> KVCache:
        network, decoder = self.network, self.network.config.decoder
        shape = decoder.layers, decoder.kv_heads, decoder.head_dim
        return KVCache(*shape, capacity, network.dtype, network.device, limit=self.context_limit)

    # Inference mode is entered for each run of the network and never held across a yield,
    # where it would reach into the code of whoever reads the stream.
    @torch.inference_mode()
    def _read(self, request: Request, cache: KVCache) -> Tensor:
        """The whole prompt, its pages encoded in order → logits [vocab]."""
        pages = [self.network.encode(views) for views in request.views]
        logits = self._extend(request.ids, torch.cat(pages) if pages else None, cache)
        if logits.isnan().any():
            raise InputError(f"the network's numbers do not fit into {self.network.dtype}; use dtype float32")
        return logits

    @torch.inference_mode()
    def _extend(self, ids: Sequence[int], vision: Tensor | None, cache: KVCache) -> Tensor:
        """Ids behind what the cache holds → logits [vocab] of the last."""
        logits = self.network.extend(torch.tensor([ids], device=self.network.device), vision, cache)[0]
        # An answer holds no image: the id marks places that wait for vision rows.
        logits[self.network.image_token_id] = float("-inf")
        return logits


class _Writer:
    """Ids to text as it may be shown: whole characters, and nothing that could yet become a stop text."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str]) -> None:
        self._decoder = IncrementalDecoder(tokenizer)
        self._stops = stops
        self._held = ""
        self.stopped = False

    def push(self, index: int) -> str:
        """The text that is certain now; `stopped` is set when a stop text is complete, and cut off."""
        return self._write(self._decoder.push(index))

    def finish(self) -> str:
        """What was held back, when no stop text can come any more."""
        if self.stopped:
            return ""
        return self._write(self._decoder.finish()) + self._held

    def _write(self, text: str) -> str:
        text = self._held + text
        found = [text.index(stop) for stop in self._stops if stop in text]
        self.stopped = bool(found)
        certain = min(found) if found else len(text) - self._uncertain(text)
        self._held = "" if found else text[certain:]
        return text[:certain]

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
