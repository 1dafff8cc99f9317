"""One page at the servers: asked for, watched for loops while it streams, and read again in other ways if need be."""

from __future__ import annotations

import base64
import io
import math
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from PIL import Image

from dsocr.document.blocks import FAILED, LOOPED
from dsocr.elsewhere import Elsewhere, Known
from dsocr.engine.loops import Loop, LoopWatch
from dsocr.engine.request import FinishReason, Sampling, Stats
from dsocr.errors import InputError
from dsocr.pages import Page
from dsocr.pages.modes import Mode
from dsocr.pages.tiling import choose_layout
from dsocr.reading import ENDINGS, mean_probability, tokens_on_page
from dsocr.remote.dialects import Question, Server
from dsocr.remote.pool import Pool
from dsocr.remote.wire import BrokenOff, Call, Fault, Refused, Waits
from dsocr.rescue import Attempt, Said, climb, follow, is_unsure, look_again

_NOT_SO = (400, 422)  # "this request is wrong"
_LEAST, _ROUNDING = -1e6, 1e-3  # of a logarithm of a probability
_MOST = 4_000_000  # characters; a model that writes on for ever is broken off, whatever its server says


@dataclass(frozen=True)
class Asked:
    """How pages are to be read."""

    prompt: str
    mode: Mode
    sampling: Sampling
    rescues: bool
    reads_again: bool
    waits: Waits


@dataclass(frozen=True)
class Answer:
    """What a server has written about a picture, and what it took; confidence: None where it does not tell."""

    text: str
    ending: FinishReason
    loop: Loop | None
    confidence: float | None
    server: Server
    prompt_places: int
    tokens: int
    to_first: float
    seconds: float


class PageAtServers:
    """A page on its way, in a thread of its own: `elsewhere` is its end that is read."""

    def __init__(self, page: Page, asked: Asked, pool: Pool) -> None:
        self._page, self._asked, self._pool = page, asked, pool
        self._call: Call | None = None
        self._unwanted = threading.Event()
        self._skipped = 0  # attempts that no server could make
        self.elsewhere = Elsewhere(self._stop)

    def start(self) -> None:
        """Ask for it."""
        threading.Thread(target=self._read, name="dsocr-remote", daemon=True).start()

    def _stop(self) -> None:
        self._unwanted.set()
        call = self._call
        if call:
            call.break_off()

    def _read(self) -> None:
        shown = _Shown(self.elsewhere)
        question = Question(_data(self._page.image), self._asked.prompt, self._asked.mode.name, self._asked.sampling)
        try:
            answer = self._ask(question, shown)
            known = self._judge(answer)
        except BrokenOff:
            return
        except InputError as error:
            self._fail(shown.told, str(error))
        except Exception as error:  # a fault of this program must not leave somebody waiting for ever
            self._fail(shown.told, f"it went wrong here: {error!r}")
            raise
        else:
            self.elsewhere.end(replace(known, rotated=self._page.rotated), self._stats(answer), answer.ending)

    def _fail(self, text: str, why: str) -> None:
        self.elsewhere.end(Known(text, FAILED, why, 0, rotated=self._page.rotated), Stats())

    def _judge(self, answer: Answer) -> Known:
        """What the page came to; one that repeats itself, or of which the model was unsure, is read again."""
        status, reason = ENDINGS[answer.ending]
        if answer.loop is None:
            known = Known(answer.text, status, reason, answer.tokens, confidence=answer.confidence)
            return self._be_surer(known)
        good, why = answer.text[: answer.loop.start], answer.loop.reason
        if not self._asked.rescues:
            return Known(good, LOOPED, why, answer.tokens)
        ladder = climb(self._page, good, self._asked.mode, self._asked.sampling)
        rescued = follow(ladder, partial(self._try_again, answer.server))
        rescued = replace(rescued, attempts=rescued.attempts - self._skipped)
        return Known(rescued.text, LOOPED, rescued.tell(why), answer.tokens, rescued.attempts)

    def _be_surer(self, known: Known) -> Known:
        """The page as it is, or what the model is surest of."""
        sure, asked = known.confidence, self._asked
        if sure is None or not is_unsure(known.status, sure) or not asked.reads_again:
            return known
        looks = look_again(self._page, known.raw, sure, asked.mode, asked.sampling)
        try:
            best = follow(looks, self._look_again)
        except (InputError, MemoryError):
            return known  # what has been read stands
        return replace(known, raw=best.text, attempts=best.attempts, confidence=best.confidence)

    def _try_again(self, server: Server, attempt: Attempt) -> Said:
        """Another look, where the servers can look in that way."""
        lacks = server.lacks(attempt.mode.name, self._asked.prompt, attempt.sampling)
        if lacks or (attempt.begun and not server.dialect.goes_on):
            self._skipped += 1
            return Said("", whole=False)
        try:
            return self._look_again(attempt)
        except InputError:
            return Said("", whole=False)

    def _look_again(self, attempt: Attempt) -> Said:
        # Servers take the white space at the end of a text away before they go on from it.
        begun = attempt.begun.rstrip()
        question = Question(_data(attempt.image), self._asked.prompt, attempt.mode.name, attempt.sampling, begun)
        answer = self._ask(question, _Shown(None))
        text = answer.text[: answer.loop.start] if answer.loop else answer.text
        return Said(text.removeprefix(attempt.begun[len(begun) :]), answer.ending == "stop", answer.confidence)

    def _ask(self, question: Question, shown: _Shown) -> Answer:
        def work(server: Server) -> Answer:
            asks = question.sampling.logprobs and server.address not in self._pool.mute
            try:
                return self._put(question.telling(asks), server, shown)
            except Refused as refusal:
                if not asks or refusal.status not in _NOT_SO:
                    raise
            answer = self._put(question.telling(False), server, shown)
            self._pool.mute.add(server.address)  # what it refused was to tell how sure the model was
            return answer

        return self._pool.ask(work, self._unwanted.is_set)

    def _put(self, question: Question, server: Server, shown: _Shown) -> Answer:
        self._call = call = Call(server.address, self._asked.waits)
        if self._unwanted.is_set():
            call.break_off()
        shown.begin()
        return _converse(call, server, question, shown, self._pool.heard)

    def _stats(self, answer: Answer) -> Stats:
        mode = answer.server.dialect.modes[self._asked.mode.name]
        layout = choose_layout(*self._page.size, mode)
        return Stats(
            prompt_places=answer.prompt_places,
            vision_tokens=tokens_on_page(self._page.size, layout, mode),
            tokens_out=answer.tokens,
            decode_tokens=max(0, answer.tokens - 1),
            prefill_seconds=answer.to_first,
            decode_seconds=answer.seconds - answer.to_first,
        )


class _Shown:
    """A text that may be begun again by another server: what was shown stands, and only what goes beyond it is new."""

    def __init__(self, elsewhere: Elsewhere | None) -> None:
        self._elsewhere = elsewhere
        self._length, self._agrees = 0, True
        self._written = ""  # by those that did not get to the end
        self.told = ""

    def begin(self) -> None:
        """It is told from the beginning."""
        if len(self.told) > len(self._written):
            self._written = self.told
        self.told = ""

    def add(self, text: str) -> None:
        """More of it. What is told otherwise than it was before is not shown, for that cannot be taken back."""
        self.told += text
        if self._elsewhere is None or not self._agrees or len(self.told) <= self._length:
            return
        self._agrees = self.told.startswith(self._written[: self._length])
        if self._agrees:
            self._elsewhere.write(self.told[self._length :])
            self._length = len(self.told)


def _converse(call: Call, server: Server, question: Question, shown: _Shown, heard: Callable[[], None]) -> Answer:
    """One answer, read to its end, or to where it begins to repeat itself."""
    watch = LoopWatch() if question.sampling.stop_loops else None
    began = first = time.perf_counter()
    loop, reason, usage = None, None, dict[str, Any]()
    pieces, logprobs = 0, list[float]()
    with closing(call.events(server.address.under("/chat/completions"), server.body(question))) as events:
        for event in events:
            heard()
            text, said, used = _read_event(event, server)
            logprobs += _logprobs(event)
            usage = dict(used) if used else usage
            reason = said or reason
            if not text:
                continue
            first = first if pieces else time.perf_counter()
            pieces += 1
            shown.add(text)
            loop = watch.feed(text) if watch else None
            if loop or len(shown.told) > _MOST:
                break
    if loop is None and len(shown.told) <= _MOST and reason not in ("stop", "length"):
        raise Fault(f"{server.address}: the answer ended for no reason that is known ({str(reason)[:40]!r})")
    tokens = _count(usage, "completion_tokens", pieces)
    most = question.sampling.max_tokens
    ending: FinishReason = "stop" if reason == "stop" else "context" if most is None or tokens < most else "length"
    return Answer(
        shown.told,
        "loop" if loop else ending,
        loop,
        mean_probability(sum(logprobs), len(logprobs)),
        server,
        _count(usage, "prompt_tokens", 0),
        tokens,
        first - began,
        time.perf_counter() - began,
    )


def _read_event(event: Mapping[str, Any], server: Server) -> tuple[str, str | None, Mapping[str, Any] | None]:
    """The text, the finish reason and the usage in an event, where it has them; Fault for what is none of a chat."""
    usage = event.get("usage")
    usage = usage if isinstance(usage, dict) else None
    choices = event.get("choices")
    if not choices:
        return "", None, usage
    try:
        text, reason = choices[0]["delta"].get("content") or "", choices[0].get("finish_reason")
    except (KeyError, IndexError, TypeError, AttributeError):
        raise Fault(f"{server.address}: an event is none of a chat") from None
    if not isinstance(text, str) or not isinstance(reason, (str, type(None))):
        raise Fault(f"{server.address}: an event is none of a chat")
    return text, reason, usage


def _logprobs(event: Mapping[str, Any]) -> list[float]:
    """Those of the tokens that an event brings, where it tells them; nan for what is none, such as a logit."""
    try:
        told = [each["logprob"] for each in event["choices"][0]["logprobs"]["content"]]
    except (KeyError, IndexError, TypeError):
        return []
    return [each if type(each) in (int, float) and _LEAST <= each <= _ROUNDING else math.nan for each in told]


def _count(usage: Mapping[str, Any], name: str, otherwise: int) -> int:
    value = usage.get(name)
    return value if type(value) is int and value >= 0 else otherwise


def _data(image: Image.Image) -> str:
    """A picture as a data: address, every pixel as it is."""
    file = io.BytesIO()
    image.convert("RGB").save(file, "PNG", compress_level=1)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode("ascii")
