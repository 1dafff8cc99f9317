"""Small real HTTP servers on 127.0.0.1 that speak the dialects of vLLM and SGLang, each with its faults."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from PIL import Image

MODEL = "deepseek-ai/DeepSeek-OCR"
PLACES = 8192


class Dies(Exception):
    """The connection ends here, in the middle of whatever it is."""


class Fake:
    """One server. `answer` gives the pieces of text for a request's form, each perhaps with its logprob; it may raise
    Dies, or be a (status, body)."""

    def __init__(self, kind: str = "vllm", answer: Callable[[dict], object] | None = None, **traits) -> None:
        self.kind, self.answer = kind, answer or (lambda form: ["some ", "words"])
        self.traits = {"version": "0.12.0", "custom": True, "key": None, "models": (MODEL,), "finish": "stop"} | traits
        self.forms: list[dict] = []
        self.hung_up = 0
        self.lock = threading.Lock()
        self.server: ThreadingHTTPServer | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1"

    def look(self, form: dict) -> Image.Image:
        """The picture in a request."""
        address = form["messages"][0]["content"][0]["image_url"]["url"]
        return Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))

    def tell(self, path: str, form: dict | None) -> tuple[int, object]:
        """What it says to anything but a chat."""
        models = [{"id": name, "owned_by": self.kind, "max_model_len": PLACES} for name in self.traits["models"]]
        pages: dict[str, object] = {"/v1/models": {"object": "list", "data": models}}
        if self.kind == "vllm":
            pages |= {"/version": {"version": self.traits["version"]}}
        if self.kind == "sglang":
            info = {"version": "0.5.4", "enable_custom_logit_processor": self.traits["custom"]}
            pages |= {"/get_server_info": info}
        if self.kind in ("vllm", "sglang") and form:
            pages |= {"/tokenize": {"tokens": [{"<td>": 11, "</td>": 12}[form["prompt"]]]}}
        return (200, pages[path]) if path in pages else (404, {"detail": "Not Found"})

    @contextmanager
    def running(self) -> Iterator[Fake]:
        fake = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_: object) -> None:
                pass

            def reply(self, status: int, content: object, **headers: str) -> None:
                body = json.dumps(content).encode()
                self.send_response(status)
                for name, value in {"Content-Length": str(len(body)), **headers}.items():
                    self.send_header(name.replace("_", "-"), value)
                self.end_headers()
                self.wfile.write(body)

            def do_GET(self) -> None:
                self.handle_form(None)

            def do_POST(self) -> None:
                self.handle_form(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

            def handle_form(self, form: dict | None) -> None:
                key = fake.traits["key"]
                if key and self.headers.get("Authorization") != f"Bearer {key}":
                    return self.reply(401, {"error": {"message": f"no: {self.headers.get('Authorization')}"}})
                if self.path != "/v1/chat/completions":
                    return self.reply(*fake.tell(self.path, form))
                with fake.lock:
                    fake.forms.append(form)
                try:
                    answer = fake.answer(form)
                    if isinstance(answer, tuple):
                        status, content, *headers = answer
                        return self.reply(status, content, **(headers[0] if headers else {}))
                    self.stream(answer)
                except Dies:
                    self.close_connection = True
                except OSError:
                    fake.hung_up += 1
                    self.close_connection = True

            def stream(self, pieces: object) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/event-stream")
                self.send_header("Transfer-Encoding", "chunked")
                self.end_headers()
                count = 0
                for piece in pieces:
                    count += 1
                    text, *sure = piece if isinstance(piece, tuple) else (piece,)
                    told = {"logprobs": {"content": [{"token": text, "logprob": sure[0]}]}} if sure else {}
                    self.event({"choices": [{"index": 0, "delta": {"content": text}, "finish_reason": None, **told}]})
                finish = fake.traits["finish"]
                self.event({"choices": [{"index": 0, "delta": {"content": ""}, "finish_reason": finish}]})
                usage = {"prompt_tokens": 900, "completion_tokens": count + 1}
                self.event({"choices": [], "usage": usage})
                self.chunk(b"data: [DONE]\n\n")
                self.chunk(b"")

            def event(self, form: dict) -> None:
                self.chunk(b"data: " + json.dumps(form).encode() + b"\n\n")

            def chunk(self, data: bytes) -> None:
                self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
                self.wfile.flush()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self.server.shutdown()
            self.server.server_close()
            thread.join()


def once(*faults: object, then: list[str]) -> Callable[[dict], object]:
    """Each fault one time, in their order, then the text."""
    left = list(faults)

    def answer(form: dict) -> object:
        fault = left.pop(0) if left else then
        if isinstance(fault, BaseException):
            raise fault
        return fault

    return answer


def dying(*pieces: str) -> Iterator[str]:
    """Some text, and then the server is gone."""
    yield from pieces
    raise Dies


def slowly(*pieces: str, pause: float = 0.05) -> Iterator[str]:
    for piece in pieces:
        time.sleep(pause)
        yield piece
