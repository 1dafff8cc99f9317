"""Apache Tika's server, as far as its text goes: a file is put, and comes back as text, as HTML or as JSON."""

from __future__ import annotations

from collections.abc import Callable
from email.message import Message

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response
from starlette.datastructures import UploadFile

from dsocr.document import to_html, to_text
from dsocr.errors import InputError
from dsocr.ocr import Options
from dsocr.server.whole import File, Read, called, json_answer, read_whole, refusal_of
from dsocr.server.worker import Worker

_PDF = b"%PDF-"
TEXT, HTML, JSON, ANY = "text/plain", "text/html", "application/json", "*/*"


def tika_router(worker: Worker) -> APIRouter:
    """`PUT /tika`, `/tika/text` and `/tika/html`, and the same below `/tika/form` for files in a form."""
    router = APIRouter()

    @router.get("/tika")
    async def greet() -> Response:
        return PlainTextResponse("This is dsocr, which answers here as a Tika server does. Please PUT\n")

    def answer_at(path: str, usual: str, content: Callable[[Read], str]) -> None:
        """usual: what is given to whoever takes anything; content: what stands in the JSON."""

        async def answer(request: Request) -> Response:
            wanted = _wanted(request.headers.get("accept", ANY), usual)
            try:
                file = await _file(request)
                read = await read_whole(worker, file, Options(), figures=wanted == HTML)
            except Exception as error:
                return _refuse(error)
            if wanted == TEXT:
                return PlainTextResponse(_text(read))
            if wanted == HTML:
                return Response(_html(read), media_type=HTML)
            return json_answer({**_about(file, read, request), "X-TIKA:content": content(read)})

        router.add_api_route(path, answer, methods=["PUT"])
        router.add_api_route(path.replace("/tika", "/tika/form", 1), answer, methods=["PUT", "POST"])

    answer_at("/tika", TEXT, _html)
    answer_at("/tika/text", JSON, _text)
    answer_at("/tika/html", HTML, _html)
    return router


def _wanted(accept: str, usual: str) -> str:
    """The first of the forms that is asked for by name; weights are not minded."""
    named = [kind.partition(";")[0].strip().lower() for kind in accept.split(",")]
    return next((kind for kind in named if kind in (TEXT, HTML, JSON)), usual)


async def _file(request: Request) -> File:
    if request.headers.get("content-type", "").startswith("multipart/"):
        async with request.form() as form:
            for part in form.values():
                if isinstance(part, UploadFile):
                    return File(called(part.filename), await part.read())
        raise InputError("there is no file in the form")
    header = Message()
    header["Content-Disposition"] = request.headers.get("content-disposition", "")
    return File(called(header.get_filename()), await request.body())


def _about(file: File, read: Read, request: Request) -> dict[str, str]:
    """What Tika calls metadata."""
    sent = request.headers.get("content-type", "application/octet-stream")
    return {
        "Content-Type": "application/pdf" if _PDF in file.content[:1024] else sent,
        "Content-Length": str(len(file.content)),
        "resourceName": file.name,
        "xmpTPg:NPages": str(len(read.document.transcripts)),
        "X-TIKA:Parsed-By": "dsocr",
    }


def _text(read: Read) -> str:
    return to_text(read.document).encode("utf-8", "replace").decode()


def _html(read: Read) -> str:
    return to_html(read.document, read.figures)


def _refuse(error: Exception) -> Response:
    refusal = refusal_of(error)
    # What cannot be read is 422 there, and 400 a request that is wrong in itself.
    status = 422 if isinstance(error, InputError) else refusal.status
    return PlainTextResponse(refusal.words, status, refusal.headers)
