"""The libraries that score benchmarks, brought in when a score needs them, so that reading pages needs none of them."""

from __future__ import annotations

import functools
import importlib
import warnings
from types import ModuleType

from dsocr.errors import InputError


@functools.cache
def need(module: str) -> ModuleType:
    """A module of an optional library; InputError tells how to get it."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # old libraries, new Pythons
            return importlib.import_module(module)
    except ImportError:
        library = module.partition(".")[0]
        raise InputError(f"to score benchmarks, {library} is needed: pip install 'dsocr[eval]'") from None
