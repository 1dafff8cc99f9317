"""Fields of other servers that would change an answer and are not offered: only what changes nothing passes."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict


class Sent(BaseModel):
    """Fields that are not known change nothing, as with other servers: clients send new ones every year."""

    model_config = ConfigDict(extra="ignore", strict=False, allow_inf_nan=False)


def neutral(*values: object) -> AfterValidator:
    """A field that is taken as long as it changes nothing: to leave it aside without a word would be a lie."""

    def check(value: object) -> object:
        if value not in (None, *values):
            raise ValueError("is not offered here; leave it out")
        return value

    return AfterValidator(check)


_Off = Annotated[bool | None, neutral(False)]
_Nothing = Annotated[Any, neutral([], {})]


class Neutral(Sent):
    """What no request for text can have here."""

    n: Annotated[int | None, neutral(1)] = None
    best_of: Annotated[int | None, neutral(1)] = None
    use_beam_search: _Off = None
    top_logprobs: Annotated[int | None, neutral(0)] = None
    top_k: Annotated[int | None, neutral(0, -1)] = None
    min_p: Annotated[float | None, neutral(0.0)] = None
    presence_penalty: Annotated[float | None, neutral(0.0)] = None
    frequency_penalty: Annotated[float | None, neutral(0.0)] = None
    repetition_penalty: Annotated[float | None, neutral(1.0)] = None
    length_penalty: Annotated[float | None, neutral(1.0)] = None
    logit_bias: _Nothing = None
    bad_words: _Nothing = None
    allowed_token_ids: _Nothing = None
    stop_token_ids: _Nothing = None
    include_stop_str_in_output: _Off = None
    no_stop_trim: _Off = None
    ignore_eos: _Off = None
    min_tokens: Annotated[int | None, neutral(0)] = None
    truncate_prompt_tokens: Annotated[int | None, neutral()] = None
    echo: _Off = None
    chat_template: Annotated[Any, neutral()] = None
    tools: _Nothing = None
    functions: _Nothing = None
    structured_outputs: _Nothing = None
    guided_json: Annotated[Any, neutral()] = None
    guided_regex: Annotated[Any, neutral()] = None
    guided_choice: _Nothing = None
    guided_grammar: Annotated[Any, neutral()] = None
    guided_json_object: _Off = None
    structural_tag: Annotated[Any, neutral()] = None
    regex: Annotated[Any, neutral()] = None
    ebnf: Annotated[Any, neutral()] = None
    json_schema: Annotated[Any, neutral()] = None
