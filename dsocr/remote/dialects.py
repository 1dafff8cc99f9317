"""What each kind of server can do, and how a page is put to it: prompt, rule against repeats, special tokens, tiles."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from dsocr.engine.request import NgramRule, Sampling
from dsocr.errors import InputError
from dsocr.pages.modes import MODES, Mode
from dsocr.prompts import IMAGE
from dsocr.remote.wire import Address

# <td> and </td> in the published tokenizer.json, for servers that cannot be asked.
PUBLISHED_TD = (128821, 128822)
# Both big servers cut a page into two to six tiles, as the published config.py does; the model was trained with nine.
_SERVED = {"gundam": replace(MODES["gundam"], max_tiles=6)}
# SGLang runs what a request names; this is the name of a class of its own, and nothing else, in the form it wants.
_SGLANG_MODULE, _SGLANG_CLASS = "sglang.srt.sampling.custom_logit_processor", "DeepseekOCRNoRepeatNGramLogitProcessor"
_SGLANG_RULE = json.dumps({"callable": f"c{_SGLANG_MODULE}\n{_SGLANG_CLASS}\n.".encode().hex()})


@dataclass(frozen=True)
class Question:
    """What is asked about one picture; begun: the answer's own beginning, from which it is to go on."""

    picture: str  # a data: address
    prompt: str  # with its one <image>
    mode: str
    sampling: Sampling
    begun: str = ""

    def telling(self, sureness: bool) -> Question:
        """The same; how sure the model is of each token is asked for or not."""
        return replace(self, sampling=replace(self.sampling, logprobs=sureness))


@dataclass(frozen=True)
class Server:
    """A server that was asked what it is; places: most tokens of prompt and text together, None where it does not say.

    rules: those against repeats that it keeps. td: the ids of `<td>` and `</td>`, which tables repeat rightfully.
    """

    address: Address
    dialect: Dialect
    version: str
    model: str
    places: int | None = None
    rules: frozenset[NgramRule] = frozenset({"none"})
    td: tuple[int, ...] = PUBLISHED_TD

    @property
    def name(self) -> str:
        """What it is, for people."""
        return f"{self.dialect.name} {self.version}".strip()

    def body(self, question: Question) -> bytes:
        """The request for one page."""
        return json.dumps(self.dialect.form(self, question)).encode()

    def lacks(self, mode: str, prompt: str, sampling: Sampling) -> str | None:
        """Why it cannot read pages in this way, in one line, or None where it can."""
        if mode not in self.dialect.modes:
            return f"mode {mode!r} is not available at {self.address} ({self.name}); known: {_names(self.dialect)}"
        if not prompt.startswith(IMAGE):
            return f"{self.address} ({self.name}) puts the page before the prompt: write {IMAGE} first, or leave it out"
        if sampling.ngram_rule == "huggingface" and "huggingface" not in self.rules:
            return f"ngram rule 'huggingface' is not available at {self.address} ({self.name}); choose windowed or none"
        return None

    def warning(self, sampling: Sampling) -> str | None:
        """What it does otherwise than a model here would, in one line."""
        if sampling.ngram_rule not in self.rules:
            how = f" ({self.dialect.remedy})" if self.dialect.remedy else ""
            return (
                f"{self.address}: {self.name} keeps no rule against repeats{how}; loops are noticed here all the same"
            )
        return None


@dataclass(frozen=True)
class Dialect:
    """One kind of server.

    modes: those it can look in, as it does. goes_on: whether it can go on from an answer that was begun. remedy: how
    it would be started to keep a rule against repeats. doubt: what of it cannot be asked, for people.
    """

    name: str
    form: Callable[[Server, Question], dict[str, Any]]
    modes: Mapping[str, Mode] = field(default_factory=lambda: _SERVED)
    goes_on: bool = False
    remedy: str = ""
    doubt: str = ""


def _vllm(server: Server, question: Question) -> dict[str, Any]:
    form = _chat(server, question) | _all_told(question)
    if question.sampling.ngram_rule == "windowed":
        form["vllm_xargs"] = _window(server, question.sampling)
    return form


def _sglang(server: Server, question: Question) -> dict[str, Any]:
    form = _chat(server, question) | _all_told(question) | {"images_config": {"image_mode": question.mode}}
    if question.sampling.ngram_rule == "windowed" and "windowed" in server.rules:
        form |= {"custom_logit_processor": _SGLANG_RULE, "custom_params": _window(server, question.sampling)}
    return form


def _dsocr(server: Server, question: Question) -> dict[str, Any]:
    sampling = question.sampling
    banned = _window(server, sampling) if sampling.ngram_rule == "windowed" else {"ngram_size": 0}
    if sampling.whitelist is None:
        banned.pop("whitelist_token_ids", None)  # it knows its own tokenizer
    # Loops are noticed here, as at any other server.
    more = {"mode": question.mode, "loops": "keep", "vllm_xargs": banned}
    return _chat(server, question) | _all_told(question) | more


def _chat(server: Server, question: Question) -> dict[str, Any]:
    """What all understand. The server itself puts `<image>` and a line end before the prompt, and bos before all."""
    sampling = question.sampling
    text = question.prompt.removeprefix(IMAGE).removeprefix("\n")
    content = [{"type": "image_url", "image_url": {"url": question.picture}}, {"type": "text", "text": text}]
    form: dict[str, Any] = {
        "model": server.model,
        "messages": [{"role": "user", "content": content}],
        "temperature": sampling.temperature,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if question.begun:
        form["messages"].append({"role": "assistant", "content": question.begun})
        form |= {"add_generation_prompt": False, "continue_final_message": True}
    if sampling.temperature:
        form["top_p"] = sampling.top_p
    asked = {"max_tokens": sampling.max_tokens, "seed": sampling.seed, "stop": list(sampling.stop) or None}
    return form | {name: value for name, value in asked.items() if value is not None}


def _all_told(question: Question) -> dict[str, Any]:
    """What servers of this model tell besides, where others may not know the words: boxes, and how sure it was."""
    return {"skip_special_tokens": False} | ({"logprobs": True} if question.sampling.logprobs else {})


def _window(server: Server, sampling: Sampling) -> dict[str, Any]:
    """The published rule's arguments, which both big servers call by the same names."""
    spared = server.td if sampling.whitelist is None else sorted(sampling.whitelist)
    return {
        "ngram_size": sampling.ngram_size,
        "window_size": sampling.ngram_window,
        "whitelist_token_ids": list(spared),
    }


VLLM = Dialect(
    "vLLM", _vllm, goes_on=True, doubt="it does not say whether it keeps the rule against repeats: see --print-vllm"
)
SGLANG = Dialect("SGLang", _sglang, goes_on=True, remedy="start it with --enable-custom-logit-processor")
DSOCR = Dialect("dsocr", _dsocr, modes=MODES, goes_on=True)
OTHER = Dialect("OpenAI-compatible", _chat)


def _names(dialect: Dialect) -> str:
    return ", ".join(dialect.modes)


def check_all(servers: list[Server], mode: str, prompt: str, sampling: Sampling) -> tuple[list[Server], list[str]]:
    """The servers that can read in this way, and a line about each that cannot; InputError where none can."""
    reasons = {server.address: server.lacks(mode, prompt, sampling) for server in servers}
    able = [server for server in servers if reasons[server.address] is None]
    lines = [reason for reason in reasons.values() if reason]
    if not able:
        raise InputError(lines[0])
    return able, lines
