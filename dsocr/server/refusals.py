"""A refusal as the clients of OpenAI read it, and, in one word more, those of FastAPI's servers."""

from __future__ import annotations

from typing import Any

from fastapi.responses import JSONResponse

from dsocr.server.whole import Refusal

_TYPES = {401: "authentication_error", 403: "permission_error", 404: "not_found_error", 429: "rate_limit_error"}
_CODES = {
    401: "invalid_api_key",
    404: "not_found",
    408: "timeout",
    413: "request_too_large",
    429: "rate_limit_exceeded",
    504: "timeout",
}


def body_of(refusal: Refusal, *, param: str | None = None, code: str | None = None) -> dict[str, Any]:
    """What the answer says; param: the field that is wrong."""
    kind = _TYPES.get(refusal.status, "server_error" if refusal.status >= 500 else "invalid_request_error")
    error = {"message": refusal.words, "type": kind, "param": param, "code": code or _CODES.get(refusal.status)}
    return {"error": error, "detail": refusal.words}


def refuse(refusal: Refusal, *, param: str | None = None, code: str | None = None) -> JSONResponse:
    """The whole answer."""
    return JSONResponse(body_of(refusal, param=param, code=code), refusal.status, refusal.headers)
