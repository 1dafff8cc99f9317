"""Open WebUI's external document loader: a file comes in, its text and what is known of it go out."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote

from fastapi import APIRouter, Header, Request
from fastapi.responses import Response

from dsocr.document import to_markdown
from dsocr.ocr import Options
from dsocr.server.whole import File, Refusal, called, json_answer, read_whole, refusal_of
from dsocr.server.worker import Worker


def openwebui_router(worker: Worker) -> APIRouter:
    """`PUT /process`."""
    router = APIRouter()

    @router.put("/process")
    async def process(request: Request, x_filename: Annotated[str, Header()] = "") -> Response:
        """The file is the body; `X-Filename` is its name, quoted as in a URL."""
        file = File(called(unquote(x_filename)), await request.body())
        try:
            read = await read_whole(worker, file, Options())
        except Exception as error:
            return _refuse(refusal_of(error))
        if not any(page.raw.strip() for page in read.document.transcripts):
            # By these words, with which Open WebUI begins to look for text in other ways.
            return _refuse(Refusal(422, f"No extractable text in {file.name}"))
        unwell = ", ".join(str(page.page) for page in read.unwell)
        metadata = {"source": file.name, "pages": len(read.document.transcripts), "pages_not_ok": unwell}
        return json_answer({"page_content": to_markdown(read.document, None), "metadata": metadata})

    return router


def _refuse(refusal: Refusal) -> Response:
    return json_answer({"detail": refusal.words}, refusal.status, refusal.headers)
