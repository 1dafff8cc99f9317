"""The app: one gate, one worker, and a router for each dialect."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from dsocr.server.docling import docling_router
from dsocr.server.documents import documents_router
from dsocr.server.limits import Gate
from dsocr.server.metrics import CONTENT_TYPE
from dsocr.server.mistral import mistral_router
from dsocr.server.openai import openai_router
from dsocr.server.openwebui import openwebui_router
from dsocr.server.refusals import refuse
from dsocr.server.responses import responses_router
from dsocr.server.settings import Settings
from dsocr.server.site import site_router
from dsocr.server.tika import tika_router
from dsocr.server.whole import Refusal
from dsocr.server.worker import Worker
from dsocr.version import __version__


def create_app(worker: Worker, settings: Settings | None = None) -> FastAPI:
    """All that the server answers. The worker is started and closed by whoever made it."""
    settings = settings or Settings()
    # A schema could say little: most dialects look at a request's body themselves.
    app = FastAPI(openapi_url=None)
    _add_watching(app, worker)
    app.include_router(openai_router(worker, settings))
    app.include_router(responses_router(worker, settings))
    app.include_router(documents_router(worker, settings.model, needs_key=bool(settings.api_keys)))
    app.include_router(mistral_router(worker, settings))
    app.include_router(docling_router(worker, settings))
    app.include_router(openwebui_router(worker))
    app.include_router(tika_router(worker))
    app.include_router(site_router())
    app.add_exception_handler(HTTPException, _say_http)
    app.add_exception_handler(RequestValidationError, _say_invalid)
    app.add_middleware(Gate, settings=settings, metrics=worker.metrics)
    if settings.cors:
        app.add_middleware(
            CORSMiddleware, allow_origins=settings.cors, allow_methods=["*"], allow_headers=["*"], max_age=600
        )
    return app


def _add_watching(app: FastAPI, worker: Worker) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Whether the server lives."""
        return {"status": "ok"}

    @app.get("/version")
    async def version() -> dict[str, str]:
        """Which dsocr this is."""
        return {"version": __version__}

    @app.get("/ready")
    async def ready() -> JSONResponse:
        """Whether it would read a page now."""
        return JSONResponse({"status": "ok"}) if worker.ready else JSONResponse({"status": "not ready"}, 503)

    @app.get("/metrics")
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return Response(worker.metrics.text(), media_type=CONTENT_TYPE)


async def _say_http(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return refuse(Refusal(error.status_code, str(error.detail)))


async def _say_invalid(_: Request, error: Exception) -> Response:
    """What is wrong with the fields of a request: where, and what should be there; never what was there."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where = ".".join(map(str, first["loc"][1:]))
    return refuse(Refusal(422, f"{where or 'body'}: {first['msg']}"), param=where or None)
