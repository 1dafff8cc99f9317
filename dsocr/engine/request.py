"""What goes into the engine and what comes out: Request with its Sampling, Delta by Delta, a Generation, its Stats."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from dsocr.errors import InputError
from dsocr.views import Views

NgramRule = Literal["windowed", "huggingface", "none"]
# stop: the model ended the text, or a stop text came; length: max_tokens; context: the model holds no more places;
# loop: it began to repeat itself.
FinishReason = Literal["stop", "length", "context", "loop"]


@dataclass(frozen=True)
class Sampling:
    """How the next token is chosen; the defaults are greedy, with the published ban on repeated n-grams.

    max_tokens None: up to the context limit. seed None: a fresh one. stop: texts that end the generation and are
    not part of it. whitelist: ids the windowed ban spares; None spares the cells of tables. stop_loops: a text that
    repeats itself is ended. logprobs: deltas tell how sure the network was of each id. skip_special: the text is
    written without special tokens, the tags around boxes among them. An InputError names a value out of range.
    """

    max_tokens: int | None = None
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    ngram_size: int = 30
    ngram_window: int = 90
    ngram_rule: NgramRule = "windowed"
    whitelist: frozenset[int] | None = None
    stop: tuple[str, ...] = ()
    stop_loops: bool = False
    logprobs: bool = False
    skip_special: bool = False

    def __post_init__(self) -> None:
        rules = get_args(NgramRule)
        _need(self.max_tokens is None or self.max_tokens >= 1, "max_tokens", self.max_tokens, "1 or more")
        _need(0 <= self.temperature < float("inf"), "temperature", self.temperature, "0 or more")
        _need(0 < self.top_p <= 1, "top_p", self.top_p, "above 0, at most 1")
        _need(self.seed is None or -(2**63) <= self.seed < 2**64, "seed", self.seed, "at most 64 bits")
        _need(self.ngram_size >= 1, "ngram_size", self.ngram_size, "1 or more (ngram_rule 'none' bans nothing)")
        _need(self.ngram_window >= 0, "ngram_window", self.ngram_window, "0 or more")
        _need(self.ngram_rule in rules, "ngram_rule", self.ngram_rule, f"one of {', '.join(rules)}")
        _need(
            not isinstance(self.stop, str) and all(self.stop), "stop", self.stop, "a tuple of texts that are not empty"
        )


@dataclass(frozen=True, eq=False)
class Request:
    """One thing to read: prompt ids, bos first, with an image id at each place of the views, in their order.

    hints: texts that may come, such as a PDF's own text layer; they make reading faster and never change it.
    """

    ids: tuple[int, ...]
    views: tuple[Views, ...] = ()
    sampling: Sampling = field(default_factory=Sampling)
    hints: tuple[tuple[int, ...], ...] = ()


@dataclass(frozen=True)
class Delta:
    """What one step added: a token's id and the characters it completed; only the last has a finish reason.

    page is the number of the page it was read from, 0 where there is none. logprob: the natural logarithm of the
    probability that the network gave to the id, before bans and temperature; None where it was not asked for.
    stop_text: of those asked for, the one that ended the text.
    """

    text: str
    ids: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None
    page: int = 0
    logprob: float | None = None
    stop_text: str | None = None


@dataclass(frozen=True)
class Stats:
    """What one request took. Seconds are those of the work it had a part in, shared with others or not."""

    prompt_places: int = 0
    vision_tokens: int = 0  # as the paper counts them: no newlines, no separator
    tokens_out: int = 0  # the end of text counts, where the model wrote it
    decode_tokens: int = 0  # those that came once the prompt was read: the first comes with it
    decode_steps: int = 0  # passes that brought them; fewer than tokens where guesses were right
    render_seconds: float = 0.0  # opening the page and making its views
    encode_seconds: float = 0.0
    prefill_seconds: float = 0.0
    decode_seconds: float = 0.0

    @property
    def compression(self) -> float:
        """Text tokens for each vision token; 0 where there was no page."""
        return self.tokens_out / self.vision_tokens if self.vision_tokens else 0.0

    @property
    def tokens_per_second(self) -> float:
        """How fast the text was written, once the prompt was read."""
        return self.decode_tokens / self.decode_seconds if self.decode_seconds else 0.0


@dataclass(frozen=True)
class Generation:
    """All deltas of a request, joined. Seconds run from the request's start, its image encoding included."""

    text: str
    ids: tuple[int, ...]
    finish_reason: FinishReason
    stats: Stats
    seconds_to_first: float
    seconds: float

    @property
    def prompt_places(self) -> int:
        """How many places the prompt took."""
        return self.stats.prompt_places


def _need(holds: bool, name: str, value: object, wanted: str) -> None:
    if not holds:
        raise InputError(f"{name} is {value!r}; it must be {wanted}")
