"""Many clients at one server, none of them kind: `python benchmarks/serve_load.py [--clients 200] [--rounds 3]`.

A server with nano is started on 127.0.0.1 in a process of its own. Every answer is compared with what the same
question was answered alone. Some clients read slowly, some hang up in the middle or before the answer, some send broken
pictures and documents, and now and then the processes that decode pictures are killed. Told at the end: answers that
were right, wrong or lost, and the server's memory after each round.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import io
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import httpx
from PIL import Image, ImageDraw

PATIENCE = 300.0  # seconds for one answer
SHORT, LONG = 24, 300  # tokens
CHUNK = 512  # bytes that a slow client takes at a time
PAUSE = 0.01  # seconds between two of them
PAGES = 3
KILLED = "decoder killed"  # in the moment in which its decoder is killed, a picture is said to be damaged


@dataclass(frozen=True)
class Question:
    """The fields of a chat completion, and what is answered to it alone."""

    fields: dict
    expected: str = ""


class BrokenOff(Exception):
    """A stream ended with something else than its end."""


@dataclass
class Tally:
    """How it went: `ends` counts right, wrong, lost and so on, for each kind of client."""

    ends: Counter[tuple[str, str]] = field(default_factory=Counter)
    sent_back: int = 0
    seconds: list[float] = field(default_factory=list)

    def count(self, end: str) -> int:
        return sum(number for (_, how), number in self.ends.items() if how == end)


class Client:
    """One kind of client after another, at one address."""

    def __init__(self, address: str, tally: Tally) -> None:
        self.http = httpx.AsyncClient(base_url=address, timeout=PATIENCE, limits=httpx.Limits(max_connections=None))
        self.host, port = address.removeprefix("http://").split(":")
        self.port, self.tally = int(port), tally

    async def ask(self, fields: dict) -> httpx.Response:
        """The answer, however often one is told to come back for it."""
        while True:
            answer = await self.http.post("/v1/chat/completions", json=fields)
            if answer.status_code != 429:
                return answer
            await self.come_back(answer.headers)

    async def whole(self, question: Question) -> str:
        answer = await self.ask(question.fields)
        return _judge(answer.status_code, lambda: said_in(answer), question)

    async def streamed(self, question: Question) -> str:
        answer = await self.ask({**question.fields, "stream": True})
        return _judge(answer.status_code, lambda: _text_of(answer.text), question)

    async def slow(self, question: Question) -> str:
        """Reads a few bytes now and then, through as small a window as the system allows."""
        while True:
            reader, writer = await self._connect(question, window=4096)
            try:
                first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().splitlines()
                received = b""
                while part := await reader.read(CHUNK):
                    received += part
                    await asyncio.sleep(PAUSE)
            finally:
                writer.close()
            if " 429 " not in first:
                said = partial(_text_of, _unchunked(received).decode()) if " 200 " in first else str
                return _judge(int(first.split()[1]), said, question)
            await self.come_back(httpx.Headers([tuple(line.split(": ", 1)) for line in lines if line]))

    async def drops(self, question: Question) -> str:
        """Hangs up when the answer has begun."""
        reader, writer = await self._connect(question)
        await reader.read(CHUNK)
        writer.transport.abort()
        return "gone"

    async def gives_up(self, question: Question) -> str:
        """Hangs up before there is an answer."""
        _, writer = await self._connect(question, stream=False)
        await asyncio.sleep(random.random())
        writer.transport.abort()
        return "gone"

    async def document(self, _: Question) -> str:
        """A document of some pages; what becomes of it is told as it is read."""
        while True:
            file = {"file": ("pages.tiff", document())}
            answer = await self.http.post("/api/read", files=file, data={"mode": "tiny"})
            *_, ending = answer.text.strip().split("\n\n")
            if answer.status_code != 429 and "too many requests wait" not in ending:
                break
            await self.come_back(httpx.Headers({"Retry-After": "1"}))
        answer.raise_for_status()
        whole = ending.startswith("event: end") and answer.text.count("event: page_end") == PAGES
        if whole and '"failed"' not in answer.text:
            return "right"
        return KILLED if "decoder" in answer.text else "lost"

    async def broken(self, _: Question) -> str:
        """A picture that is none."""
        url = {"url": "data:image/png;base64,AAAA"}
        fields = {"model": "", "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": url}]}]}
        answer = await self.http.post("/v1/chat/completions", json=fields)
        return "right" if answer.status_code in (400, 429) else "wrong"

    async def come_back(self, headers: httpx.Headers) -> None:
        self.tally.sent_back += 1
        await asyncio.sleep(int(headers["Retry-After"]) * random.uniform(0.5, 1.5))

    async def _connect(
        self, question: Question, *, stream: bool = True, window: int | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        body = json.dumps({**question.fields, "stream": stream}).encode()
        connection = socket.socket()
        if window:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
        connection.setblocking(False)
        await asyncio.get_running_loop().sock_connect(connection, (self.host, self.port))
        reader, writer = await asyncio.open_connection(sock=connection, limit=window or 2**16)
        head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: {self.host}:{self.port}\r\nConnection: close\r\n"
        writer.write(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        await writer.drain()
        return reader, writer


def kinds(client: Client) -> list[Callable[[Question], Awaitable[str]]]:
    """Every tenth client is a document or broken; of the others, half are kind."""
    kind = [client.whole, client.streamed] * 2
    return [*kind, client.slow, client.drops, client.gives_up, client.document, client.broken, client.slow]


async def storm(address: str, questions: list[Question], clients: int, tally: Tally) -> None:
    """So many clients at once, each with one question."""
    client = Client(address, tally)
    ways = kinds(client)

    async def one(number: int) -> None:
        way, began = ways[number % len(ways)], time.monotonic()
        try:
            end = await asyncio.wait_for(way(questions[number % len(questions)]), PATIENCE)
        except (httpx.HTTPError, OSError, asyncio.IncompleteReadError, asyncio.TimeoutError) as error:
            end = f"lost ({type(error).__name__})"
        tally.ends[way.__name__, end] += 1
        if end == "right":
            tally.seconds.append(time.monotonic() - began)

    async with client.http:
        await asyncio.gather(*map(one, range(clients)))


async def answered_alone(address: str, count: int) -> list[Question]:
    """Questions, no two alike, each with what is answered to it while nobody else asks."""
    client = Client(address, Tally())
    async with client.http:
        return [Question(fields, said_in(await client.ask(fields))) for fields in map(fields_of, range(count))]


def fields_of(number: int) -> dict:
    """Every third question is about a picture; every fifth answer is long."""
    text = {"type": "text", "text": f"Free OCR. {number}"}
    url = "data:image/png;base64," + base64.b64encode(_encoded([_page(number)], "PNG")).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, text] if number % 3 == 0 else [text]
    return {
        "model": "deepseek-ai/DeepSeek-OCR",
        "messages": [{"role": "user", "content": content}],
        "max_tokens": LONG if number % 5 == 0 else SHORT,
        "temperature": 0.0,
        "mode": "tiny",
        "loops": "keep",
        "skip_special_tokens": False,
    }


def document() -> bytes:
    """A TIFF of some pages."""
    return _encoded([_page(number) for number in range(PAGES)], "TIFF")


def _page(number: int) -> Image.Image:
    page = Image.new("RGB", (160, 120), "white")
    ImageDraw.Draw(page).text((8, 40), f"page {number}", fill="black")
    return page


def _encoded(pages: list[Image.Image], format: str) -> bytes:
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": pages[1:]} if len(pages) > 1 else {}
    pages[0].save(buffer, format, **more)
    return buffer.getvalue()


def said_in(answer: httpx.Response) -> str:
    return answer.raise_for_status().json()["choices"][0]["message"]["content"]


def _text_of(stream: str) -> str:
    """What a stream has said, if it was whole; an error in it is raised."""
    events = [line.removeprefix("data: ") for line in stream.splitlines() if line.startswith("data: ")]
    if not events or events[-1] != "[DONE]":
        raise BrokenOff(events[-1] if events else "no event")
    deltas = [json.loads(event)["choices"][0]["delta"] for event in events[:-1]]
    return "".join(delta.get("content") or "" for delta in deltas)


def _unchunked(body: bytes) -> bytes:
    whole = b""
    while body:
        length, _, body = body.partition(b"\r\n")
        size = int(length, 16)
        whole, body = whole + body[:size], body[size + 2 :]
    return whole


def _judge(status: int, said: Callable[[], str], question: Question) -> str:
    if status != 200:
        return KILLED if status == 400 else f"lost ({status})"
    try:
        return "right" if said() == question.expected else "wrong"
    except BrokenOff as broken:
        return KILLED if "its decoder crashed" in str(broken) else f"lost ({broken})"


@dataclass(frozen=True)
class Server:
    """A server in a process of its own."""

    process: subprocess.Popen[bytes]
    address: str

    def memory(self) -> int:
        """Bytes that the process and those that decode for it hold."""
        return sum(_resident(number) for number in (self.process.pid, *self.decoders()))

    def decoders(self) -> list[int]:
        """The numbers of the processes that open files."""
        tasks = Path(f"/proc/{self.process.pid}/task")
        return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]

    def here(self) -> list[float]:
        """Requests that are here, that wait, and that are in the engine."""
        lines = httpx.get(f"{self.address}/metrics").text.splitlines()
        names = ("dsocr_requests_here ", "dsocr_queue ", "dsocr_running ")
        return [float(line.split()[1]) for name in names for line in lines if line.startswith(name)]


def _resident(number: int) -> int:
    try:
        pages = int(Path(f"/proc/{number}/statm").read_text().split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def start(model: str, queue: int, batch: int) -> Server:
    """A server that is ready."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    options = ["--model", model, "--port", str(port), "--queue", str(queue), "--batch", str(batch)]
    process = subprocess.Popen(
        [sys.executable, "-m", "dsocr", "serve", *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    server = Server(process, f"http://127.0.0.1:{port}")
    while True:
        if process.poll() is not None:
            raise SystemExit("the server did not start")
        try:
            if httpx.get(f"{server.address}/ready").status_code == 200:
                return server
        except httpx.HTTPError:
            time.sleep(0.2)


async def kill_decoders(server: Server, every: float) -> None:
    """Kills those that are there, now and then."""
    while True:
        await asyncio.sleep(every)
        for number in server.decoders():
            os.kill(number, signal.SIGKILL)


async def rounds(server: Server, clients: int, count: int, distinct: int) -> bool:
    """The whole of it, told line by line; False if any answer was wrong or lost, or something stays behind."""
    questions = await answered_alone(server.address, distinct)
    print(f"{distinct} questions answered alone; the server holds {server.memory() / 2**20:.0f} MB", flush=True)
    well = True
    for number in range(1, count + 1):
        tally, began = Tally(), time.monotonic()
        killing = asyncio.ensure_future(kill_decoders(server, 3.0))
        await storm(server.address, questions, clients, tally)
        killing.cancel()
        seconds = time.monotonic() - began
        await asyncio.sleep(1)
        lost = sum(number for (_, end), number in tally.ends.items() if end.startswith("lost"))
        well = well and not tally.count("wrong") and not lost and not any(server.here())
        middle = sorted(tally.seconds)[len(tally.seconds) // 2]
        print(
            f"round {number}: {clients} clients in {seconds:.1f} s; right {tally.count('right')}, wrong "
            f"{tally.count('wrong')}, lost {lost}, hung up {tally.count('gone')}, {KILLED} {tally.count(KILLED)}; told "
            f"to come back {tally.sent_back} times; median {middle:.1f} s, longest {max(tally.seconds):.1f} s; left "
            f"behind {sum(server.here()):.0f}; {server.memory() / 2**20:.0f} MB",
            flush=True,
        )
        for (way, end), times in sorted(tally.ends.items()):
            print(f"    {way:10} {end:16} {times}", flush=True)
    return well


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--questions", type=int, default=20)
    parser.add_argument("--queue", type=int, default=64)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--model", default="nano")
    asked = parser.parse_args()
    server = start(asked.model, asked.queue, asked.batch)
    try:
        well = asyncio.run(rounds(server, asked.clients, asked.rounds, asked.questions))
    finally:
        server.process.terminate()
        server.process.wait()
    raise SystemExit(0 if well else 1)


if __name__ == "__main__":
    main()
