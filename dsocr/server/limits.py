"""The gate before all dialects: who may come in, how much may be brought along, and how long an answer may take."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import logging
import re
import time
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from dsocr.server.metrics import Metrics
from dsocr.server.refusals import refuse
from dsocr.server.settings import Settings
from dsocr.server.whole import Refusal, refusal_of

LOG = logging.getLogger("dsocr.server")
Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
App: TypeAlias = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

BODIES = 4  # times the limit of one body: most bytes of all that are here at once
_OPEN = frozenset({"/", "/health", "/ready", "/api/about"})  # what is answered without a key
_OPEN_BELOW = "/page/"
_HOST = re.compile(r"(?:\[(?P<address>[0-9a-f:.]+)\]|(?P<name>[a-z0-9.-]+))(?::[0-9]+)?")
_LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_PATIENCE = 2.0  # seconds in which a client that is refused may finish what it says
_BODY = "dsocr.body"  # where a request's body is found in its scope
_GRACE = 5.0  # seconds in which an answer that is late may still say so itself
_HEADERS = {
    b"content-security-policy": b"default-src 'none'; frame-ancestors 'none'",
    b"x-content-type-options": b"nosniff",
    b"x-frame-options": b"DENY",
    b"referrer-policy": b"no-referrer",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class Gate:
    """Stands around an app: whoever hangs up is worked for no longer, and what goes wrong is told in general words."""

    def __init__(self, app: App, settings: Settings, metrics: Metrics) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._keys = [_digest(key.encode()) for key in settings.api_keys]
        self._held = Held(BODIES * settings.max_body)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """One request, or another of the server's own messages."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began, answer = time.monotonic(), Answering(send)
        try:
            refusal = self._refuse_at_once(scope)
            if refusal is None:
                refusal = await self._work(scope, receive, answer)
            if refusal is not None and not answer.status:
                # Whoever still sends would not hear us, and would be told of a broken connection.
                body = scope.get(_BODY)
                heard = (body is not None and body.is_whole) or await _hear_out(receive)
                answer.is_early = lambda: not heard
                await refuse(refusal)(scope, receive, answer.send)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.request(route, answer.status or 499, time.monotonic() - began)

    def _refuse_at_once(self, scope: MutableMapping[str, Any]) -> Refusal | None:
        """What can be told from the head of a request alone."""
        headers = dict(scope["headers"])
        host, origin = headers.get(b"host", b"").decode("latin-1"), headers.get(b"origin", b"").decode("latin-1")
        if not self._keys and self._settings.is_local and not self._is_own(host):
            # Another name that leads here was made to, so that a web page could ask in the name of whoever looks at it.
            return Refusal(403, "this server without a key answers to its own names only, such as 127.0.0.1")
        if not self._may_ask(origin, host):
            return Refusal(403, "pages of that origin may not ask here, unless whoever runs the server allows it")
        if not self._has_key(scope["path"], headers):
            return Refusal(401, "the API key is missing or wrong; send it as Authorization: Bearer KEY")
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length[:19]) > self._settings.max_body:
            return self._too_large()
        return None

    async def _work(self, scope: MutableMapping[str, Any], receive: Receive, answer: Answering) -> Refusal | None:
        """Let the app answer; gives back why it was stopped, where something is left to be said."""
        body = Body(receive, self._settings, self._held, self._too_large())
        scope[_BODY] = body
        brings = {b"content-length", b"transfer-encoding"} & {name for name, _ in scope["headers"]}
        # An app that answers before it has heard all need not hear the rest.
        answer.is_early = lambda: bool(brings) and not body.is_whole
        working = asyncio.ensure_future(self._app(scope, body.receive, answer.send))
        stopped = asyncio.ensure_future(body.stop())
        try:
            await asyncio.wait(
                {working, stopped}, timeout=self._settings.seconds + _GRACE, return_when=asyncio.FIRST_COMPLETED
            )
            if working.done():
                working.result()
                return None
            if stopped.done():
                return stopped.result()
            return Refusal(504, f"not done within {self._settings.seconds:g} seconds, and given up")
        except Exception as error:
            LOG.exception("a request failed")
            return refusal_of(error)
        finally:
            for task in (working, stopped):
                task.cancel()
            await asyncio.wait({working, stopped})
            body.let_go()

    def _too_large(self) -> Refusal:
        return Refusal(413, f"the request has more than {self._settings.max_body:,} bytes; send less at once")

    def _is_own(self, host: str) -> bool:
        parts = _HOST.fullmatch(host.lower())
        return parts is not None and (parts["address"] or parts["name"]) in {*_LOCAL, self._settings.host.lower()}

    def _may_ask(self, origin: str, host: str) -> bool:
        """Whether a browser's page may: our own, or one that is allowed; all other clients name no origin."""
        own = origin.partition("://")[2] == host
        return not origin or own or origin in self._settings.cors or "*" in self._settings.cors

    def _has_key(self, path: str, headers: dict[bytes, bytes]) -> bool:
        if not self._keys or path in _OPEN or path.startswith(_OPEN_BELOW):
            return True
        kind, _, token = headers.get(b"authorization", b"").partition(b" ")
        given = token.strip() if kind.lower() == b"bearer" else headers.get(b"x-api-key", b"")
        # Digests have one length, and all of them are compared: the time it takes tells nothing.
        return sum(hmac.compare_digest(_digest(given), key) for key in self._keys) > 0


def hold_body(scope: MutableMapping[str, Any]) -> Callable[[], None]:
    """Counts a request's body beyond its answer, until what is given back is called."""
    body: Body = scope[_BODY]
    body.hold()
    return body.let_go


@dataclass
class Held:
    """How many bytes of bodies are here, and how many there may be."""

    most: int
    bytes: int = 0


class Body:
    """A request's body as it comes in, and what comes after it: the client's hanging up."""

    def __init__(self, receive: Receive, settings: Settings, held: Held, too_large: Refusal) -> None:
        self._receive, self._settings, self._held, self._too_large = receive, settings, held, too_large
        self._deadline = time.monotonic() + settings.body_seconds
        self._holders = 1
        self._size, self._whole, self._refusal = 0, asyncio.Event(), asyncio.Event()
        self._why: Refusal | None = None

    @property
    def is_whole(self) -> bool:
        """Whether all of it is here."""
        return self._whole.is_set()

    async def receive(self) -> Message:
        """The next part of the body, for the app; after the last, nothing until the client hangs up."""
        if self._whole.is_set():
            await asyncio.Event().wait()  # whoever works on is stopped from outside
        try:
            message = await asyncio.wait_for(self._receive(), self._deadline - time.monotonic())
        except asyncio.TimeoutError:
            return await self._stop(Refusal(408, "the request's body came too slowly"))
        if message["type"] != "http.request":
            return await self._stop(None)
        self._size += len(message.get("body", b""))
        self._held.bytes += len(message.get("body", b""))
        if self._size > self._settings.max_body:
            return await self._stop(self._too_large)
        if self._held.bytes > self._held.most:
            return await self._stop(Refusal(429, "too many large requests are here already; try again", 5))
        if not message.get("more_body", False):
            self._whole.set()
        return message

    async def stop(self) -> Refusal | None:
        """Waits until there is a reason to stop working: a refusal, or None where the client has hung up."""
        waiting = [asyncio.ensure_future(self._refusal.wait()), asyncio.ensure_future(self._hang_up())]
        try:
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in waiting:
                task.cancel()
        return self._why

    def hold(self) -> None:
        """It is needed until let_go was called once more."""
        self._holders += 1

    def let_go(self) -> None:
        """The request is over, or whoever else held it; the last one takes its bytes out of the count."""
        self._holders -= 1
        if not self._holders:
            self._held.bytes -= self._size

    async def _hang_up(self) -> None:
        await self._whole.wait()
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _stop(self, why: Refusal | None) -> Message:
        self._why = why
        self._refusal.set()
        await asyncio.Event().wait()
        raise AssertionError


class Answering:
    """An answer on its way out, with the headers that every one has."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0  # none yet
        self.is_early: Callable[[], bool] = lambda: False  # the connection ends with an answer that is

    async def send(self, message: Message) -> None:
        """The next part of it."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            present = {name.lower() for name, _ in message.get("headers", ())}
            added = [(name, value) for name, value in _HEADERS.items() if name not in present]
            if self.status == 401:
                added.append((b"www-authenticate", b"Bearer"))
            if self.is_early():
                added.append((b"connection", b"close"))
            message = {**message, "headers": [*message.get("headers", ()), *added]}
        await self._send(message)


async def _hear_out(receive: Receive) -> bool:
    """Lets a client say what nobody listens to, but not for long; whether it came to an end."""

    async def hear() -> None:
        message = await receive()
        while message["type"] == "http.request" and message.get("more_body", False):
            message = await receive()

    try:
        await asyncio.wait_for(hear(), _PATIENCE)
    except asyncio.TimeoutError:
        return False
    return True


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
