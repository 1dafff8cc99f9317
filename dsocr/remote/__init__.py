"""Pages read by servers: vLLM, SGLang, dsocr's own, or another that speaks OpenAI's dialect."""

from __future__ import annotations

from dsocr.remote.reader import RemoteReader, connect

__all__ = ["RemoteReader", "connect"]
