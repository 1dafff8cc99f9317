"""Figures for those who watch: what was read is counted once, and who is here is counted while he is."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import httpx
import pytest
from drawn_pages import inked
from prometheus_client.parser import text_string_to_metric_families
from running import data_url, encoded, running

from dsocr import load
from dsocr.document.blocks import STATUSES
from dsocr.engine.request import Sampling
from dsocr.ocr import Options


@pytest.fixture(scope="module")
def server(checkpoint):
    with running(load(checkpoint, device="cpu", batch=2)) as server:
        yield server


def figures(server) -> dict[tuple[str, ...], float]:
    answer = httpx.get(f"{server.address}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = text_string_to_metric_families(answer.text)
    samples = [sample for family in families for sample in family.samples]
    return {(sample.name, *sample.labels.values()): sample.value for sample in samples}


def grown(server, act) -> dict[tuple[str, ...], float]:
    before = figures(server)
    act()
    after = figures(server)
    return {name: value - before.get(name, 0) for name, value in after.items() if value != before.get(name, 0)}


def test_a_chat_counts_as_a_request_with_its_tokens(server):
    content = [{"type": "image_url", "image_url": {"url": data_url(inked())}}, {"type": "text", "text": "ocr"}]
    body = {"messages": [{"role": "user", "content": content}], "mode": "tiny", "max_tokens": 3}
    answers = []
    more = grown(server, lambda: answers.append(httpx.post(f"{server.address}/v1/chat/completions", json=body)))
    usage = answers[0].json()["usage"]
    assert more["dsocr_http_requests_total", "/v1/chat/completions", "200"] == 1
    assert more["dsocr_http_request_seconds_count", "/v1/chat/completions"] == 1
    assert more["dsocr_tokens_total", "written"] == usage["completion_tokens"] == 3
    assert more["dsocr_tokens_total", "prompt"] == usage["prompt_tokens"]
    assert more["dsocr_tokens_total", "vision"] == 64
    assert more["dsocr_first_token_seconds_count",] == 1
    assert more["dsocr_work_seconds_total", "encode"] > 0


def test_pages_count_by_how_they_ended(server):
    async def read():
        blank = inked((80, 60), "white").crop((0, 0, 10, 10))
        content = encoded(inked(), "TIFF", save_all=True, append_images=[blank])
        async with aclosing(server.worker.read(content, "a.tiff", Options("tiny", sampling=Sampling(max_tokens=2)))) as events:  # fmt: skip
            return [event async for event in events]

    more = grown(server, lambda: asyncio.run(read()))
    assert (more["dsocr_pages_total", "truncated"], more["dsocr_pages_total", "blank"]) == (1, 1)
    assert ("dsocr_pages_total", "failed") not in more


def test_what_never_happened_is_there_as_nought(server):
    assert {("dsocr_pages_total", status) for status in STATUSES} <= set(figures(server))


def test_what_is_not_found_and_what_is_refused_count_too(server):
    def wander():
        httpx.get(f"{server.address}/nowhere")
        httpx.get(f"{server.address}/health", headers={"Host": "evil.example"})

    more = grown(server, wander)
    assert more["dsocr_http_requests_total", "other", "404"] == 1
    assert more["dsocr_http_requests_total", "other", "403"] == 1


def test_who_is_here_is_counted_while_he_is(server):
    async def crowd():
        answers = [server.worker.ask("x", (), "tiny", Sampling(max_tokens=3000)) for _ in range(6)]
        await asyncio.gather(*map(anext, answers[:2]))
        during = await asyncio.to_thread(figures, server)
        for answer in answers:
            await answer.aclose()
        return during

    during = asyncio.run(crowd())
    assert during["dsocr_requests_here",] >= 2
    assert during["dsocr_running",] >= 2
    after = figures(server)
    assert (after["dsocr_requests_here",], after["dsocr_queue",]) == (0, 0)
