"""What the clients of OpenAI and vLLM send, and the one question that it comes to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, AliasChoices, BaseModel, Field, ValidationError

from dsocr.engine.request import Sampling
from dsocr.errors import InputError
from dsocr.ocr import DEFAULT_MODE
from dsocr.pages import MODES, get_mode
from dsocr.server.neutral import Neutral, Sent, neutral

S = TypeVar("S", bound=BaseModel)
MOST_IMAGES = 64
MOST_STOPS = 16
_LONGEST_STOP = 1000  # characters
# In chats, and in responses.
_TEXTS = ("text", "input_text", "output_text")
_IMAGES = ("image_url", "input_image")
_SGLANG_RULE = "DeepseekOCRNoRepeatNGramLogitProcessor"
_WORST = 200  # characters of what is wrong with a request


class _ImageUrl(Sent):
    url: str


class _Part(Sent):
    type: str
    text: str | None = None
    image_url: _ImageUrl | str | None = None


class Turn(Sent):
    """One message of a conversation."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"] = "assistant"
    content: str | list[_Part] | None = None


class _StreamOptions(Sent):
    include_usage: bool = False


class _NgramArguments(Sent):
    # vLLM's older processor knows the first name, its newer one both.
    ngram_size: Annotated[int | None, Field(validation_alias=AliasChoices("ngram_size", "no_repeat_ngram_size"))] = None
    window_size: int | None = None
    whitelist_token_ids: list[int] | None = None


class _ImagesConfig(Sent):
    image_mode: str | None = None


def _only_the_ban(processor: str | None) -> str | None:
    """SGLang's own rule against repeats is known by the name that stands in it; nothing of it is run."""
    if processor and _SGLANG_RULE.encode().hex() not in processor.lower():
        raise ValueError(f"only {_SGLANG_RULE} is offered here; leave it out")
    return processor


class Asked(Neutral):
    """What all requests for text have in common: as OpenAI and vLLM have it for this model, SGLang too, and `mode`."""

    model: str = ""
    stream: bool | None = False
    temperature: float | None = None
    top_p: float | None = None
    stop: str | list[str] | None = None
    seed: int | None = None
    skip_special_tokens: bool = True
    vllm_xargs: _NgramArguments | None = None
    custom_params: _NgramArguments | None = None
    custom_logit_processor: Annotated[str | None, AfterValidator(_only_the_ban)] = None
    mode: str | None = None
    images_config: _ImagesConfig | None = None
    loops: Literal["stop", "keep"] = "stop"

    def question(
        self, messages: list[Turn], most: int | None, *, logprobs: bool = False, usage: bool = False
    ) -> Question:
        """What the messages come to. most: new tokens; logprobs and usage: whether they are to be told."""
        text, images = _collapse(messages)
        model, mode = split_mode(self.model)
        asked = self.mode or (self.images_config and self.images_config.image_mode) or mode
        get_mode(asked)
        sampling = replace(_sampling(self), max_tokens=most, logprobs=logprobs)
        return Question(text, images, asked, sampling, model, bool(self.stream), usage, _begun(messages))


class Chat(Asked):
    """The body of /v1/chat/completions."""

    messages: Annotated[list[Turn], Field(min_length=1)]
    stream_options: _StreamOptions | None = None
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    logprobs: bool | None = False
    response_format: Annotated[dict[str, Any] | None, neutral({"type": "text"})] = None


class Respond(Asked):
    """The body of /v1/responses; what was asked before is not kept here, and cannot be gone on from."""

    input: str | list[Turn]
    instructions: str | None = None
    max_output_tokens: int | None = None
    text: Annotated[dict[str, Any] | None, neutral({}, {"format": {"type": "text"}})] = None
    previous_response_id: Annotated[str | None, neutral()] = None
    conversation: Annotated[Any, neutral()] = None
    background: Annotated[bool | None, neutral(False)] = None


@dataclass(frozen=True)
class Question:
    """One question about no image, one or several.

    prompt: a full one, a name, or a text of one's own. images: addresses as they were sent. usage: whether a stream
    tells what it took at its end. begun: the answer's own beginning, from which it goes on.
    """

    prompt: str
    images: tuple[str, ...]
    mode: str
    sampling: Sampling
    model: str
    stream: bool = False
    usage: bool = False
    begun: str = ""


class Wrong(InputError):
    """A field of a request is wrong."""

    def __init__(self, words: str, param: str | None = None) -> None:
        super().__init__(f"{param}: {words}" if param else words)
        self.param = param


def parse_chat(body: bytes) -> Question:
    """The question in a body of /v1/chat/completions; Wrong, or InputError, for what cannot be answered."""
    chat = parse(Chat, body)
    most = chat.max_tokens if chat.max_completion_tokens is None else chat.max_completion_tokens
    usage = chat.stream_options is not None and chat.stream_options.include_usage
    return chat.question(chat.messages, most, logprobs=bool(chat.logprobs), usage=usage)


def parse_respond(body: bytes) -> Question:
    """The question in a body of /v1/responses; Wrong, or InputError, for what cannot be answered."""
    asked = parse(Respond, body)
    given = [Turn(role="user", content=asked.input)] if isinstance(asked.input, str) else asked.input
    system = [Turn(role="system", content=asked.instructions)] if asked.instructions else []
    return asked.question([*system, *given], asked.max_output_tokens)


def parse(kind: type[S], body: bytes) -> S:
    """A body as one of the kinds of requests; Wrong says where it is none, and never what was there."""
    try:
        return kind.model_validate_json(body)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(step) for step in first["loc"])[:_WORST]
        raise Wrong(first["msg"].removeprefix("Value error, ")[:_WORST], where or None) from None


def split_mode(model: str) -> tuple[str, str]:
    """`name:tiny` is the reader `name` in mode tiny, for clients that can choose nothing but a model."""
    name, _, mode = model.rpartition(":")
    return (name, mode) if mode in MODES else (model, DEFAULT_MODE)


def _collapse(messages: list[Turn]) -> tuple[str, tuple[str, ...]]:
    """The text and the images that are asked about: the model was trained on one question at a time.

    It is the last message of the user, about the images in it or, without any, about those last shown. The system's
    text is the question only where the user has none; what the model answered before that is left aside.
    """
    asked = [message for message in messages if message.role == "user"]
    if not asked:
        raise Wrong("there is no message of the user", "messages")
    shown = [images for images in map(_images, asked) if images]
    images = shown[-1] if shown else ()
    if len(images) > MOST_IMAGES:
        raise Wrong(f"{len(images):,} images are more than the limit of {MOST_IMAGES}", "messages")
    system = "\n".join(_text(message) for message in messages if message.role in ("system", "developer"))
    text = _text(asked[-1]) or system or ("document" if images else "")
    if not text:
        raise Wrong("there is neither a text nor an image", "messages")
    return text, images


def _begun(messages: list[Turn]) -> str:
    """A last message of the assistant is the beginning of its answer, as vLLM has it for this model."""
    return _words(messages[-1]) if messages[-1].role == "assistant" else ""


def _text(message: Turn) -> str:
    return _words(message).strip()


def _words(message: Turn) -> str:
    if message.content is None or isinstance(message.content, str):
        return message.content or ""
    return "\n".join(part.text for part in message.content if part.type in _TEXTS and part.text)


def _images(message: Turn) -> tuple[str, ...]:
    if not isinstance(message.content, list):
        return ()
    for part in message.content:
        if part.type not in (*_TEXTS, *_IMAGES):
            raise Wrong(f"a part of type {part.type[:40]!r} is not read; known: text, image_url", "messages")
        if part.type in _IMAGES and part.image_url is None:
            raise Wrong("an image has no image_url", "messages")
    urls = [part.image_url for part in message.content if part.type in _IMAGES]
    return tuple(url.url if isinstance(url, _ImageUrl) else url for url in urls if url is not None)


def _sampling(asked: Asked) -> Sampling:
    """Greedy where no temperature is asked for, with the published ban on repeats where no other is."""
    stop = (asked.stop,) if isinstance(asked.stop, str) else tuple(asked.stop or ())
    if len(stop) > MOST_STOPS or any(len(text) > _LONGEST_STOP for text in stop):
        raise Wrong(f"at most {MOST_STOPS} texts of {_LONGEST_STOP:,} characters can be looked for", "stop")
    plain = Sampling(
        temperature=asked.temperature or 0.0,
        top_p=1.0 if asked.top_p is None else asked.top_p,
        seed=asked.seed,
        stop=stop,
        stop_loops=asked.loops == "stop",
        skip_special=asked.skip_special_tokens,
    )
    return _with_ban(plain, asked.vllm_xargs or asked.custom_params or _NgramArguments())


def _with_ban(sampling: Sampling, asked: _NgramArguments) -> Sampling:
    if asked.ngram_size == 0:
        return replace(sampling, ngram_rule="none")
    size = sampling.ngram_size if asked.ngram_size is None else asked.ngram_size
    window = sampling.ngram_window if asked.window_size is None else asked.window_size
    spared = None if asked.whitelist_token_ids is None else frozenset(asked.whitelist_token_ids)
    return replace(sampling, ngram_size=size, ngram_window=window, whitelist=spared)
