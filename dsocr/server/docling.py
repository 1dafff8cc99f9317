"""docling-serve: files and addresses are converted at once, or later for those who come back for them."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import zipfile
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from functools import partial
from io import BytesIO
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeAlias

from fastapi import APIRouter, Query, Request
from fastapi.responses import Response
from pydantic import BaseModel, Field, ValidationError
from starlette.datastructures import UploadFile

from dsocr.document import MarkdownStyle, Transcript, to_docling_dict, to_html, to_markdown, to_text
from dsocr.errors import InputError
from dsocr.ocr import Options
from dsocr.server.chats import parse
from dsocr.server.limits import hold_body
from dsocr.server.settings import Settings
from dsocr.server.told import Busy
from dsocr.server.whole import (
    File,
    Read,
    called,
    data_url,
    file_at,
    json_answer,
    read_base64,
    read_whole,
    refusal_of,
    relink,
)
from dsocr.server.worker import Worker

MOST_TASKS = 100  # under way, or done and not forgotten yet
KEPT_SECONDS = 1800.0
_LONGEST_WAIT = 60.0  # seconds that one question after a task may last
_AGAIN = 30  # seconds after which there may be room for another task
_ENDINGS = {"md": "md", "json": "json", "html": "html", "text": "txt"}
_INBODY, _ZIP = "inbody", "zip"
_ENDLESS = 10**9  # docling's own page ranges end beyond any document


class Wishes(BaseModel):
    """What docling's options have that means something here; all others change nothing. page_range: both included."""

    to_formats: list[str] = ["md"]
    image_export_mode: Literal["placeholder", "embedded", "referenced"] = "embedded"
    page_range: Annotated[list[int], Field(min_length=2, max_length=2)] = [1, _ENDLESS]
    md_page_break_placeholder: str = ""

    def options(self) -> Options:
        """How the pages are read; InputError where there is no such range."""
        first, last = self.page_range
        if not 1 <= first <= last:
            raise InputError(f"page_range {first}, {last}: it begins with 1 or more and does not run backwards")
        if first == 1 and last >= _ENDLESS:
            return Options()
        return Options(pages=f"{first}-" if last >= _ENDLESS else f"{first}-{last}")


class _Source(BaseModel):
    kind: Literal["file", "http"]
    base64_string: str = ""
    filename: str = ""
    url: str = ""


class _Target(BaseModel):
    kind: str = _INBODY


class Asked(BaseModel):
    """The body of a request to /v1/convert/source."""

    options: Wishes = Wishes()
    sources: Annotated[list[_Source], Field(min_length=1, max_length=100)]
    target: _Target = _Target()


Get: TypeAlias = Callable[[], Awaitable[File]]


@dataclass(frozen=True)
class _Job:
    """What is to be converted, and how; several files come in a zip, as they do from docling."""

    files: tuple[Get, ...]
    wishes: Wishes
    as_zip: bool


def docling_router(worker: Worker, settings: Settings) -> APIRouter:
    """`/v1/convert/file` and `/v1/convert/source`, both with `/async`, `/v1/status/poll/…` and `/v1/result/…`."""
    router, tasks = APIRouter(), Tasks()

    def convert_at(path: str, understand: Callable[[Request, Settings], Awaitable[_Job]]) -> None:
        async def convert(request: Request) -> Response:
            try:
                return await _convert(worker, await understand(request, settings))
            except Exception as error:
                return _refuse(error)

        async def begin(request: Request) -> Response:
            try:
                job = await understand(request, settings)
                worker.line.check()
                return json_answer(tasks.begin(_convert(worker, job), hold_body(request.scope)))
            except Exception as error:
                return _refuse(error)

        router.add_api_route(path, convert, methods=["POST"])
        router.add_api_route(f"{path}/async", begin, methods=["POST"])

    convert_at("/v1/convert/file", _from_form)
    convert_at("/v1/convert/source", _from_body)

    @router.get("/v1/status/poll/{id}")
    async def poll(id: str, wait: Annotated[float, Query(allow_inf_nan=False)] = 0.0) -> Response:
        status = await tasks.status(id, min(max(wait, 0.0), _LONGEST_WAIT))
        return json_answer(status) if status else _missing("Task not found.")

    @router.get("/v1/result/{id}")
    async def result(id: str) -> Response:
        return tasks.result(id) or _missing("Task result not found. Please wait for a completion status.")

    return router


class Tasks:
    """Conversions that go on after their request was answered; bounded in number, and forgotten after a while."""

    def __init__(self, most: int = MOST_TASKS, seconds: float = KEPT_SECONDS) -> None:
        self._most, self._seconds = most, seconds
        self._tasks: dict[str, asyncio.Task[Response]] = {}
        self._ended: dict[str, float] = {}

    def begin(self, work: Coroutine[Any, Any, Response], let_go: Callable[[], None] = lambda: None) -> dict[str, Any]:
        """The status of a new task; Busy where there are too many. let_go: called when it needs its files no more."""
        self._forget()
        if len(self._tasks) >= self._most:
            work.close()
            let_go()
            raise Busy(_AGAIN)
        id = secrets.token_urlsafe(18)
        self._tasks[id] = asyncio.create_task(_in_words(work))
        self._tasks[id].add_done_callback(lambda _: let_go())
        self._tasks[id].add_done_callback(lambda _: self._ended.setdefault(id, time.monotonic()))
        return self._status(id, "pending")

    async def status(self, id: str, wait: float) -> dict[str, Any] | None:
        """How far a task is, after `wait` seconds at most; None where there is none."""
        task = self._tasks.get(id)
        if task is None:
            return None
        await asyncio.wait({task}, timeout=wait)
        if not task.done():
            return self._status(id, "started")
        answer = task.result()
        if answer.status_code == 200:
            return self._status(id, "success")
        return {**self._status(id, "failure"), "error_message": json.loads(bytes(answer.body))["detail"]}

    def result(self, id: str) -> Response | None:
        """What a task came to, once it is done."""
        task = self._tasks.get(id)
        return task.result() if task and task.done() else None

    def _status(self, id: str, status: str) -> dict[str, Any]:
        return {"task_id": id, "task_type": "convert", "task_status": status, "task_position": None, "task_meta": None}

    def _forget(self) -> None:
        for id, ended in list(self._ended.items()):
            if time.monotonic() - ended > self._seconds:
                del self._ended[id], self._tasks[id]


async def _from_form(request: Request, settings: Settings) -> _Job:
    async with request.form() as form:
        parts = [part for part in form.getlist("files") if isinstance(part, UploadFile)]
        files = [File(called(part.filename), await part.read()) for part in parts]
        lists = {name: form.getlist(name) for name in ("to_formats", "page_range") if name in form}
        words = {name: form[name] for name in ("image_export_mode", "md_page_break_placeholder") if name in form}
        as_zip = _is_zip(str(form.get("target_type", _INBODY)))
    if not files:
        raise InputError("files: there is none in the form")
    try:
        wishes = Wishes.model_validate({**lists, **words})
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        raise InputError(f"{first['loc'][0]}: {first['msg']}") from None
    return _Job(tuple(partial(_given, file) for file in files), wishes, as_zip or len(files) > 1)


async def _from_body(request: Request, settings: Settings) -> _Job:
    asked = await asyncio.to_thread(parse, Asked, await request.body())
    files = tuple(partial(_get, source, settings) for source in asked.sources)
    as_zip = _is_zip(asked.target.kind)
    return _Job(files, asked.options, as_zip or len(files) > 1)


def _is_zip(target: str) -> bool:
    """Whether a zip is asked for; InputError, in words by which docling's client knows what to ask for instead."""
    if target not in (_INBODY, _ZIP):
        raise InputError(f"target {target!r}: input should be {_INBODY!r} or {_ZIP!r}, nothing is stored here")
    return target == _ZIP


async def _given(file: File) -> File:
    return file


async def _get(source: _Source, settings: Settings) -> File:
    if source.kind == "file":
        return File(called(source.filename), await asyncio.to_thread(read_base64, source.base64_string))
    return await file_at(source.url, settings.web)


async def _convert(worker: Worker, job: _Job) -> Response:
    options, began = job.wishes.options(), time.monotonic()
    options.check()
    contents, reads = [], []
    for get in job.files:
        read = await read_whole(worker, await get(), options, figures=True)
        reads.append(read)
        contents.append(await asyncio.to_thread(_contents, read, job.wishes))
    if job.as_zip:
        return _zip(reads, contents, job.wishes)
    return json_answer(_answer(reads[0], contents[0], time.monotonic() - began))


def _contents(read: Read, wishes: Wishes) -> dict[str, Any]:
    """What was read in each of the forms that is asked for and that there is here: JSON as dicts, all else as text."""
    embedded = read.figures if wishes.image_export_mode == "embedded" else ()
    forms: dict[str, Callable[[], Any]] = {
        "md": lambda: _markdown(read, wishes),
        "json": lambda: to_docling_dict(read.document, embedded),
        "html": lambda: to_html(read.document, read.figures),
        "text": lambda: to_text(read.document, "\n\n"),
    }
    wanted = [form for form in forms if form in wishes.to_formats]
    if not wanted:
        asked, known = ", ".join(wishes.to_formats), ", ".join(forms)
        raise InputError(f"to_formats: {asked} is not written here; known, a field for each: {known}")
    return {form: forms[form]() for form in wanted}


def _markdown(read: Read, wishes: Wishes) -> str:
    separator = f"\n\n{wishes.md_page_break_placeholder}\n\n" if wishes.md_page_break_placeholder else "\n\n"
    cut = {figure.name: figure for figure in read.figures}
    links: dict[str, Callable[[str], str]] = {
        "placeholder": lambda name: "<!-- image -->",
        "embedded": lambda name: f"![Image]({data_url(cut[name])})",
        "referenced": lambda name: f"![Image](images/{name})",
    }
    markdown = to_markdown(read.document, "", separator, MarkdownStyle("gfm", "dollar"))
    return relink(markdown, cut, links[wishes.image_export_mode])


def _answer(read: Read, contents: dict[str, Any], seconds: float) -> dict[str, Any]:
    document = {f"{form}_content": contents.get(form) for form in ("md", "json", "html", "text", "doctags")}
    errors = [
        {
            "component_type": "model",
            "module_name": "dsocr",
            "error_message": _words(page),
        }
        for page in read.unwell
    ]
    return {
        "document": {"filename": read.document.source, **document},
        "status": "partial_success" if errors else "success",
        "errors": errors,
        "processing_time": seconds,
        "timings": {},
    }


def _words(page: Transcript) -> str:
    return ": ".join(part for part in (f"page {page.page}", page.status, page.reason) if part)


def _zip(reads: list[Read], contents: list[dict[str, Any]], wishes: Wishes) -> Response:
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (read, forms) in enumerate(zip(reads, contents, strict=True)):
            stem = PurePath(read.document.source).stem
            # Two documents may have one name.
            folder = f"{number + 1}_{stem}/" if len(reads) > 1 else ""
            for form, content in forms.items():
                text = json.dumps(content) if form == "json" else content
                archive.writestr(f"{folder}{stem}.{_ENDINGS[form]}", text.encode("utf-8", "replace"))
            for figure in read.figures if wishes.image_export_mode == "referenced" else ():
                archive.writestr(f"{folder}images/{figure.name}", figure.content)
    headers = {"Content-Disposition": 'attachment; filename="converted_docs.zip"'}
    return Response(buffer.getvalue(), media_type="application/zip", headers=headers)


async def _in_words(work: Awaitable[Response]) -> Response:
    try:
        return await work
    except Exception as error:
        return _refuse(error)


def _refuse(error: Exception) -> Response:
    refusal = refusal_of(error)
    return json_answer({"detail": refusal.words}, refusal.status, refusal.headers)


def _missing(words: str) -> Response:
    return json_answer({"detail": words}, 404)
