"""Asks a server what it is, which model it has, and what it can do: nothing is taken for granted."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from dsocr.engine.request import NgramRule
from dsocr.errors import InputError
from dsocr.pages.modes import MODES
from dsocr.remote.dialects import DSOCR, OTHER, PUBLISHED_TD, SGLANG, VLLM, Dialect, Server
from dsocr.remote.wire import Address, Call, Fault, Refused, Waits

_WAITS = Waits(connect=5.0, first=20.0, next=20.0)
_PAUSES = (0.5, 2.0)  # seconds before one that does not answer is asked again: it may be starting
_LOCKED = (401, 403)
_PUBLISHED = "deepseek-ocr"
_OWNERS = {"vllm": VLLM, "sglang": SGLANG, "dsocr": DSOCR}


def probe(address: Address, model: str | None = None) -> Server:
    """The server at an address; model: the name of one that it serves, None for the only one or DeepSeek-OCR.

    InputError, of one line, where nobody answers, a key is missing, or there is no such model.
    """
    listed = _models(address)
    chosen = _choose(listed, model, address)
    dialect = _kind(chosen)
    if dialect is VLLM:
        return _describe_vllm(address, chosen)
    if dialect is SGLANG:
        return _describe_sglang(address, chosen)
    if dialect is DSOCR:
        rules: frozenset[NgramRule] = frozenset({"windowed", "none"})
        version = str(_asked(address, "/version").get("version", ""))
        return Server(address, dialect, version, str(chosen["id"]), _places(chosen), rules)
    return Server(address, dialect, "", str(chosen["id"]), _places(chosen))


def _models(address: Address) -> Sequence[Mapping[str, Any]]:
    """The models that it lists; dsocr's own lists each in every mode as well."""
    answer = _ask_patiently(address)
    models = answer.get("data") if isinstance(answer, dict) else None
    listed = [each for each in models if isinstance(each, dict) and "id" in each] if isinstance(models, list) else []
    listed = [each for each in listed if each.get("owned_by") != "dsocr" or str(each["id"]).split(":")[-1] not in MODES]
    if not listed:
        raise InputError(f"{address}: no model is listed there; the address of a server usually ends in /v1")
    return listed


def _ask_patiently(address: Address) -> Any:
    for pause in (*_PAUSES, None):
        try:
            return Call(address, _WAITS).json("GET", address.under("/models"))
        except Fault as fault:
            if pause is None:
                raise InputError(f"no server answers: {fault}") from None
            time.sleep(pause)
        except Refused as refusal:
            locked = refusal.status in _LOCKED
            way = "; give its key with DSOCR_ENGINE_KEY" if locked else "; the address usually ends in /v1"
            raise InputError(f"{refusal}{way}") from None
    raise AssertionError("the last pause ends the loop")


def _choose(listed: Sequence[Mapping[str, Any]], wanted: str | None, address: Address) -> Mapping[str, Any]:
    """The model of that name, else the only one, else the only DeepSeek-OCR."""
    fitting = [each for each in listed if each["id"] == wanted] if wanted else listed
    if len(fitting) > 1:
        fitting = [each for each in fitting if _PUBLISHED in str(each["id"]).lower()]
    if len(fitting) != 1:
        names = ", ".join(str(each["id"]) for each in listed[:10])
        asked = f"model {wanted!r} is not served" if wanted else "give one with --model: several are served"
        raise InputError(f"{address}: {asked}; there are: {names}")
    return fitting[0]


def _kind(model: Mapping[str, Any]) -> Dialect:
    return _OWNERS.get(str(model.get("owned_by", "")).lower(), OTHER)


def _describe_vllm(address: Address, model: Mapping[str, Any]) -> Server:
    # Whether it was started with the rule against repeats is not told; what is asked for and not there is ignored.
    rules: frozenset[NgramRule] = frozenset({"windowed", "none"})
    version = str(_asked(address, "/version").get("version", ""))
    name = str(model["id"])
    return Server(address, VLLM, version, name, _places(model), rules, _td(address, name))


def _describe_sglang(address: Address, model: Mapping[str, Any]) -> Server:
    told = _asked(address, "/server_info") or _asked(address, "/get_server_info")
    able = told.get("enable_custom_logit_processor") is True
    rules: frozenset[NgramRule] = frozenset({"windowed", "none"} if able else {"none"})
    name = str(model["id"])
    return Server(address, SGLANG, str(told.get("version", "")), name, _places(model), rules, _td(address, name))


def _td(address: Address, model: str) -> tuple[int, ...]:
    """The ids of `<td>` and `</td>` in the model's own tokenizer, where the server tells them."""
    ids = [_only_id(address, model, text) for text in ("<td>", "</td>")]
    return tuple(index for index in ids if index is not None) if None not in ids else PUBLISHED_TD


def _only_id(address: Address, model: str, text: str) -> int | None:
    form = {"model": model, "prompt": text, "add_special_tokens": False}
    tokens = _asked(address, "/tokenize", json.dumps(form).encode()).get("tokens")
    return tokens[0] if isinstance(tokens, list) and len(tokens) == 1 and type(tokens[0]) is int else None


def _asked(address: Address, path: str, body: bytes | None = None) -> Mapping[str, Any]:
    """What it says there; nothing where it says nothing."""
    with suppress(Fault, Refused):
        answer = Call(address, _WAITS).json("POST" if body else "GET", address.beside(path), body)
        return answer if isinstance(answer, dict) else {}
    return {}


def _places(model: Mapping[str, Any]) -> int | None:
    places = model.get("max_model_len")
    return places if type(places) is int and places > 0 else None
