"""OpenAI's dialect: chat completions, whole and streamed, so that whoever asks vLLM only changes the address."""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from dsocr.engine.request import Delta, FinishReason, Stats
from dsocr.errors import InputError
from dsocr.model.checkpoint import PUBLISHED
from dsocr.model.tokenizer import Tokenizer
from dsocr.pages import MODES
from dsocr.server.chats import Question, Wrong, parse_chat, split_mode
from dsocr.server.refusals import body_of, refuse
from dsocr.server.settings import Settings
from dsocr.server.whole import Refusal, file_at, read_data_url, refusal_of
from dsocr.server.worker import Answer, Worker

EVENTS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
SOON = 10.0  # seconds in which an answer that begins may still get a status of its own; later, errors are events
BEAT = 15.0  # seconds after which a stream without news shows that it lives
_FINISH: dict[FinishReason, str] = {"stop": "stop", "length": "length", "context": "length", "loop": "length"}


def openai_router(worker: Worker, settings: Settings) -> APIRouter:
    """`/v1/chat/completions` and `/v1/models`."""
    router, born = APIRouter(), int(time.time())

    @router.get("/v1/models")
    async def models() -> dict[str, Any]:
        names = [settings.model, *(f"{settings.model}:{mode}" for mode in MODES)]
        return {"object": "list", "data": [_model(name, born) for name in names]}

    @router.get("/v1/models/{name:path}")
    async def model(name: str) -> Response:
        if not knows(settings, split_mode(name)[0]):
            return unknown_model(settings)
        return JSONResponse(_model(name, born))

    @router.post("/v1/chat/completions")
    async def chat(request: Request) -> Response:
        try:
            question = await asyncio.to_thread(parse_chat, await request.body())
            if not knows(settings, question.model):
                return unknown_model(settings)
            answer = await ask(worker, settings, question)
            reply = _Reply(f"chatcmpl-{uuid.uuid4().hex}", settings.model, int(time.time()), worker.ocr.tokenizer)
            if not question.stream:
                return JSONResponse(await _whole(reply, answer))
            return await stream(_chunks(reply, answer, question.usage))
        except Exception as error:
            return refuse_openai(error)

    return router


def knows(settings: Settings, model: str) -> bool:
    """Whether a request for that model is for the one that is here: by its name, the published one's, or none."""
    published = {PUBLISHED.casefold(), PUBLISHED.rpartition("/")[2].casefold()}
    return model.casefold() in {"", settings.model.casefold(), *published}


def unknown_model(settings: Settings) -> Response:
    """What is said to a request for another model."""
    words = f"there is no such model here; there is {settings.model}, also as {settings.model}:tiny and so on"
    return refuse(Refusal(404, words), param="model", code="model_not_found")


def refuse_openai(error: Exception) -> Response:
    """An error as a whole answer; one that is not ours to explain is raised."""
    refusal = refusal_of(error)
    if refusal.status == 500:
        raise error
    return refuse(refusal, param=error.param if isinstance(error, Wrong) else None)


async def ask(worker: Worker, settings: Settings, question: Question) -> Answer:
    """The answer to a question, whose images are decoded or fetched here; Wrong or InputError where they cannot be."""
    images = [await _image(address, settings) for address in question.images]
    return worker.ask(question.prompt, tuple(images), question.mode, question.sampling, question.begun)


async def stream(chunks: AsyncGenerator[str, None]) -> Response:
    """Server-sent events, once the first has come: what goes wrong before is raised, after that it is an event."""
    first = asyncio.ensure_future(anext(chunks))
    try:
        await asyncio.wait({first}, timeout=SOON)
        if first.done():
            first.result()
    except BaseException:
        first.cancel()
        raise
    return StreamingResponse(_events(first, chunks), media_type="text/event-stream", headers=EVENTS)


async def _events(first: asyncio.Future[str], chunks: AsyncGenerator[str, None]) -> AsyncGenerator[str, None]:
    """The chunks, with a sign of life where they are long in coming."""
    coming = first
    try:
        while True:
            await asyncio.wait({coming}, timeout=BEAT)
            if not coming.done():
                yield ": still working\n\n"
                continue
            try:
                chunk = coming.result()
            except StopAsyncIteration:
                return
            except Exception as error:
                yield event(body_of(refusal_of(error)))
                return
            yield chunk
            coming = asyncio.ensure_future(anext(chunks))
    finally:
        coming.cancel()
        await asyncio.wait({coming})
        await chunks.aclose()


def event(data: object) -> str:
    """One server-sent event."""
    return f"data: {json.dumps(data, ensure_ascii=False, separators=(',', ':'))}\n\n"


def usage_of(stats: Stats) -> dict[str, int]:
    """What an answer took, in tokens."""
    read, written = stats.prompt_places, stats.tokens_out
    return {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}


@dataclass(frozen=True)
class _Reply:
    """What all parts of one answer have in common."""

    id: str
    model: str
    created: int
    tokenizer: Tokenizer

    def part(self, kind: str, choice: dict[str, Any] | None, **more: Any) -> dict[str, Any]:
        choices = [{"index": 0, **choice}] if choice else []
        return {
            "id": self.id,
            "object": kind,
            "created": self.created,
            "model": self.model,
            "choices": choices,
            **more,
        }

    def logprobs(self, deltas: Iterable[Delta]) -> dict[str, Any] | None:
        """How sure the model was of each token; None where that was not asked for."""
        sure = [
            self._sureness(index, delta.logprob) for delta in deltas if delta.logprob is not None for index in delta.ids
        ]
        return {"content": sure} if sure else None

    def _sureness(self, index: int, logprob: float) -> dict[str, Any]:
        piece = self.tokenizer.piece(index)
        text = piece.decode("utf-8", "replace")
        return {"token": text, "logprob": max(logprob, -9999.0), "bytes": list(piece), "top_logprobs": []}


async def _whole(reply: _Reply, answer: Answer) -> dict[str, Any]:
    async with aclosing(answer):
        deltas = [delta async for delta in answer]
    text = "".join(delta.text for delta in deltas)
    choice = {
        "message": {"role": "assistant", "content": text},
        "logprobs": reply.logprobs(deltas),
        **_ending(deltas[-1]),
    }
    return reply.part("chat.completion", choice, usage=usage_of(answer.stats))


async def _chunks(reply: _Reply, answer: Answer, usage: bool) -> AsyncGenerator[str, None]:
    """The events of a stream."""
    more: dict[str, Any] = {"usage": None} if usage else {}

    def chunk(delta: dict[str, str], **choice: Any) -> str:
        return event(reply.part("chat.completion.chunk", {"delta": delta, **choice}, **more))

    begun = False
    async with aclosing(answer):
        async for delta in answer:
            if not begun:
                yield chunk({"role": "assistant", "content": ""}, logprobs=None, finish_reason=None)
                begun = True
            if delta.text or delta.logprob is not None:
                yield chunk({"content": delta.text}, logprobs=reply.logprobs([delta]), finish_reason=None)
            if delta.finish_reason:
                yield chunk({}, logprobs=None, **_ending(delta))
    if usage:
        yield event(reply.part("chat.completion.chunk", None, usage=usage_of(answer.stats)))
    yield "data: [DONE]\n\n"


def _ending(last: Delta) -> dict[str, Any]:
    """Why an answer ended; vLLM's field for more says which stop text it was, or that it began to repeat itself."""
    reason = last.finish_reason
    assert reason is not None
    return {"finish_reason": _FINISH[reason], "stop_reason": "loop" if reason == "loop" else last.stop_text}


def _model(name: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "dsocr"}


async def _image(address: str, settings: Settings) -> bytes:
    try:
        if address[:5].lower() == "data:":
            return await asyncio.to_thread(read_data_url, address)
        return (await file_at(address, settings.web)).content
    except InputError as error:
        raise Wrong(str(error), "image_url") from None
