"""OpenAI's newer dialect, /v1/responses: the same questions, and answers in more words."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse

from dsocr.engine.request import FinishReason, Sampling, Stats
from dsocr.server.chats import parse_respond
from dsocr.server.openai import ask, event, knows, refuse_openai, stream, unknown_model
from dsocr.server.settings import Settings
from dsocr.server.worker import Answer, Worker


def responses_router(worker: Worker, settings: Settings) -> APIRouter:
    """`/v1/responses`; none is kept for later."""
    router = APIRouter()

    @router.post("/v1/responses")
    async def respond(request: Request) -> Response:
        try:
            question = await asyncio.to_thread(parse_respond, await request.body())
            if not knows(settings, question.model):
                return unknown_model(settings)
            answer = await ask(worker, settings, question)
            reply = _Reply(uuid.uuid4().hex, settings.model, int(time.time()), question.sampling)
            if question.stream:
                return await stream(_events(reply, answer))
            async with aclosing(answer):
                deltas = [delta async for delta in answer]
            text = "".join(delta.text for delta in deltas)
            return JSONResponse(reply.whole(text, deltas[-1].finish_reason, answer.stats))
        except Exception as error:
            return refuse_openai(error)

    return router


@dataclass(frozen=True)
class _Reply:
    """What all parts of one answer have in common."""

    id: str
    model: str
    created: int
    sampling: Sampling

    def whole(self, text: str | None, reason: FinishReason | None, stats: Stats | None) -> dict[str, Any]:
        """The response as it stands: without a reason it is under way."""
        status = "in_progress" if reason is None else "completed" if reason == "stop" else "incomplete"
        return {
            "id": f"resp_{self.id}",
            "object": "response",
            "created_at": self.created,
            "status": status,
            "error": None,
            "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
            "instructions": None,
            "max_output_tokens": self.sampling.max_tokens,
            "metadata": {},
            "model": self.model,
            "output": [] if text is None else [self.message(text, status)],
            "parallel_tool_calls": False,
            "previous_response_id": None,
            "temperature": self.sampling.temperature,
            "text": {"format": {"type": "text"}},
            "tool_choice": "auto",
            "tools": [],
            "top_p": self.sampling.top_p,
            "truncation": "disabled",
            "usage": None if stats is None else _usage(stats),
        }

    def message(self, text: str | None, status: str) -> dict[str, Any]:
        content = [] if text is None else [_part(text)]
        return {
            "type": "message",
            "id": f"msg_{self.id}",
            "status": status,
            "role": "assistant",
            "content": content,
        }


async def _events(reply: _Reply, answer: Answer) -> AsyncGenerator[str, None]:
    """The events of a stream, numbered."""
    number = -1

    def say(kind: str, **data: Any) -> str:
        nonlocal number
        number += 1
        return f"event: {kind}\n" + event({"type": kind, "sequence_number": number, **data})

    item: dict[str, Any] = {"item_id": f"msg_{reply.id}", "output_index": 0, "content_index": 0}
    text, reason = list[str](), None
    async with aclosing(answer):
        async for delta in answer:
            if number < 0:
                yield say("response.created", response=reply.whole(None, None, None))
                yield say("response.in_progress", response=reply.whole(None, None, None))
                yield say("response.output_item.added", output_index=0, item=reply.message(None, "in_progress"))
                yield say("response.content_part.added", **item, part=_part(""))
            if delta.text:
                text.append(delta.text)
                yield say("response.output_text.delta", **item, delta=delta.text, logprobs=[])
            reason = delta.finish_reason
    said, end = "".join(text), reply.whole("".join(text), reason, answer.stats)
    yield say("response.output_text.done", **item, text=said, logprobs=[])
    yield say("response.content_part.done", **item, part=_part(said))
    yield say("response.output_item.done", output_index=0, item=end["output"][0])
    yield say(f"response.{end['status']}", response=end)


def _part(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _usage(stats: Stats) -> dict[str, Any]:
    return {
        "input_tokens": stats.prompt_places,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": stats.tokens_out,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": stats.prompt_places + stats.tokens_out,
    }
