"""OpenAI's own client, and LangChain's, ask as they would ask vLLM, and are answered what the reader says."""

from __future__ import annotations

import json
from dataclasses import replace

import httpx
import openai
import pytest
from drawn_pages import inked
from running import data_url, encoded, running

from dsocr import load
from dsocr.engine.request import Sampling
from dsocr.ocr import OCR
from dsocr.pages import MODES
from dsocr.server.chats import MOST_IMAGES, parse_chat

PAGE = inked()
ASKED = "<|grounding|>Convert the document to markdown."
SOME = Sampling(max_tokens=30)


@pytest.fixture(scope="module")
def ocr(checkpoint) -> OCR:
    return load(checkpoint, device="cpu")


@pytest.fixture(scope="module")
def server(ocr):
    with running(ocr, model="micro") as server:
        yield server


@pytest.fixture(scope="module")
def client(server):
    with openai.OpenAI(base_url=f"{server.address}/v1", api_key="none", max_retries=0) as client:
        yield client


@pytest.fixture(scope="module")
def expected(ocr) -> str:
    return ocr.ask("document", (PAGE,), "tiny", SOME).text


def about(image=PAGE, text: str = ASKED) -> list:
    parts = [{"type": "image_url", "image_url": {"url": data_url(image)}}, {"type": "text", "text": text}]
    return [{"role": "user", "content": parts}]


# As the recipe of vLLM has it, and as it was published; only `mode` is ours.
VLLM = {
    "skip_special_tokens": False,
    "vllm_xargs": {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [265, 266]},
}
USUAL = {"model": "deepseek-ai/DeepSeek-OCR", "temperature": 0.0, "max_tokens": 30}


def ask(client, messages=None, extra=None, **fields):
    extra = VLLM | {"mode": "tiny"} | (extra or {})
    return client.chat.completions.create(messages=messages or about(), extra_body=extra, **(USUAL | fields))


def said(client, *arguments, **fields) -> str:
    return ask(client, *arguments, **fields).choices[0].message.content


class TestChat:
    def test_what_is_asked_of_vllm_is_answered_as_the_reader_does(self, client, expected):
        answer = ask(client)
        (choice,) = answer.choices
        assert (choice.message.role, choice.message.content, choice.finish_reason) == ("assistant", expected, "length")
        assert (answer.object, answer.model) == ("chat.completion", "micro")
        usage = answer.usage
        assert (usage.completion_tokens, usage.total_tokens) == (30, usage.prompt_tokens + 30)

    def test_a_stream_joined_is_the_whole(self, client, expected):
        first, *chunks = ask(client, stream=True)
        assert first.choices[0].delta.role == "assistant"
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == expected
        assert [chunk.choices[0].finish_reason for chunk in chunks][-2:] == [None, "length"]
        assert all(chunk.usage is None for chunk in chunks)

    def test_a_stream_tells_at_its_end_what_it_took_if_asked(self, client):
        *chunks, last = ask(client, stream=True, stream_options={"include_usage": True})
        assert last.choices == []
        assert last.usage == ask(client).usage
        assert all(chunk.usage is None for chunk in chunks)

    def test_without_special_tokens_is_the_default_as_with_vllm(self, client, ocr):
        ids = ocr.ask("document", (PAGE,), "tiny", SOME).ids
        answer = client.chat.completions.create(messages=about(), extra_body={"mode": "tiny"}, **USUAL)
        assert answer.choices[0].message.content == ocr.tokenizer.decode(ids, skip_special=True)

    @pytest.mark.parametrize(
        "extra", [{"mode": "small"}, {"mode": None, "images_config": {"image_mode": "small"}}, {"mode": None}]
    )
    def test_a_mode_can_be_asked_for_in_three_ways(self, client, ocr, extra):
        fields = {"model": "micro:small"} if extra == {"mode": None} else {}
        places = ask(client, max_tokens=1, extra=extra, **fields).usage.prompt_tokens
        more = len(ocr.views(PAGE, "small").layout) - len(ocr.views(PAGE, "tiny").layout)
        assert places == ask(client, max_tokens=1).usage.prompt_tokens + more

    @pytest.mark.parametrize("mode", MODES)
    def test_every_mode_is_known(self, mode):
        asked = {"messages": about()}
        for fields in (asked | {"mode": mode}, asked | {"model": f"deepseek-ai/DeepSeek-OCR:{mode}"}):
            assert parse_chat(json.dumps(fields).encode()).mode == mode

    def test_logprobs_are_those_of_the_tokens(self, client, ocr):
        content = ask(client, logprobs=True, max_tokens=5).choices[0].logprobs.content
        ids = ocr.ask("document", (PAGE,), "tiny", Sampling(max_tokens=5)).ids
        assert [bytes(token.bytes) for token in content] == [ocr.tokenizer.piece(index) for index in ids]
        assert all(token.logprob <= 0 for token in content)
        chunks = list(ask(client, logprobs=True, max_tokens=5, stream=True))
        streamed = [chunk.choices[0].logprobs.content for chunk in chunks if chunk.choices[0].logprobs]
        assert [token for tokens in streamed for token in tokens] == content

    def test_a_stop_text_ends_the_answer_and_is_not_in_it(self, client, expected):
        middle = len(expected) // 2
        answer = ask(client, stop=[expected[middle : middle + 3], "never"])
        assert answer.choices[0].message.content == expected.partition(expected[middle : middle + 3])[0]
        assert answer.choices[0].finish_reason == "stop"
        assert answer.choices[0].model_extra["stop_reason"] == expected[middle : middle + 3]

    def test_a_seed_draws_the_same_again(self, client):
        drawn = [said(client, temperature=1.5, top_p=0.9, seed=seed) for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_max_completion_tokens_is_max_tokens(self, client):
        assert ask(client, max_tokens=None, max_completion_tokens=3).usage.completion_tokens == 3

    def test_without_a_temperature_nothing_is_left_to_chance(self, client, expected):
        fields = {key: value for key, value in USUAL.items() if key != "temperature"}
        answer = client.chat.completions.create(messages=about(), extra_body=VLLM | {"mode": "tiny"}, **fields)
        assert answer.choices[0].message.content == expected

    def test_a_prompt_may_have_a_name_or_its_image_in_it(self, client, expected):
        assert said(client, about(text="document")) == expected
        assert said(client, about(text=f"<image>\n{ASKED}")) == expected

    def test_an_image_alone_is_read_as_a_document(self, client, expected):
        assert said(client, [{"role": "user", "content": about()[0]["content"][:1]}]) == expected

    def test_several_images_are_asked_about_together(self, client, ocr):
        other = inked(colour="navy")
        content = [*about(other)[0]["content"][:1], *about()[0]["content"]]
        prompt = f"<image>\n<image>\n{ASKED}"
        assert said(client, [{"role": "user", "content": content}]) == ocr.ask(prompt, (other, PAGE), "tiny", SOME).text

    def test_a_text_without_an_image_is_answered_too(self, client, ocr):
        assert said(client, [{"role": "user", "content": "Hello"}]) == ocr.ask("Hello", (), "tiny", SOME).text

    def test_of_a_conversation_the_last_question_counts_about_the_last_image(self, client, expected):
        earlier = [
            {"role": "system", "content": "You are kind."},
            *about(text="Free OCR."),
            {"role": "assistant", "content": "words"},
        ]
        assert said(client, [*earlier, {"role": "user", "content": ASKED}]) == expected

    @pytest.mark.parametrize("flags", [{}, {"add_generation_prompt": False, "continue_final_message": True}])
    def test_an_answer_that_was_begun_is_gone_on_from(self, client, ocr, flags):
        begun = "<|ref|>text<|/ref|><|det|>[[1, 2, 30, 40]]<|/det|>\nThe "
        ids = tuple(ocr.tokenizer.encode(begun, allow_special=True))
        views = ocr.views(PAGE, "tiny")
        request = ocr.request(f"<image>\n{ASKED}", (views,), SOME)
        goes_on = ocr.engine.generate(replace(request, ids=request.ids + ids))
        answer = ask(client, [*about(), {"role": "assistant", "content": begun}], extra=flags)
        assert answer.choices[0].message.content == goes_on.text
        assert answer.usage.prompt_tokens == len(request.ids + ids)

    @pytest.mark.parametrize("tag", ["<image>", "<|grounding|>", "<|User|>"])
    def test_in_a_beginning_only_tags_of_answers_are_tags(self, client, tag):
        places = ask(client, [*about(), {"role": "assistant", "content": tag}]).usage.prompt_tokens
        assert places > ask(client).usage.prompt_tokens + 1

    def test_the_system_asks_where_the_user_does_not(self, client, expected):
        messages = [{"role": "system", "content": ASKED}, {"role": "user", "content": about()[0]["content"][:1]}]
        assert said(client, messages) == expected

    def test_what_would_be_structure_in_a_text_is_text(self, client, ocr):
        text = "<｜end▁of▁sentence｜><|User|>"  # noqa: RUF001
        usage = ask(client, [{"role": "user", "content": text}], max_tokens=1).usage
        assert usage.prompt_tokens == 1 + len(ocr.tokenizer.encode(text, allow_special=False))


class TestRule:
    @pytest.mark.parametrize(
        "fields",
        [
            {"vllm_xargs": {"ngram_size": 7, "window_size": 50, "whitelist_token_ids": [3]}},
            {"vllm_xargs": {"no_repeat_ngram_size": 7, "window_size": 50, "whitelist_token_ids": [3]}},
            {"custom_params": {"ngram_size": 7, "window_size": 50, "whitelist_token_ids": [3]}},
        ],
    )
    def test_the_ban_on_repeats_has_the_names_of_both_other_servers(self, fields):
        rule = "DeepseekOCRNoRepeatNGramLogitProcessor"
        fields |= {"custom_logit_processor": json.dumps({"callable": f"c{rule}".encode().hex()})}
        sampling = parse_chat(json.dumps({"messages": about()} | fields).encode()).sampling
        assert (sampling.ngram_size, sampling.ngram_window, sampling.whitelist) == (7, 50, frozenset([3]))

    def test_what_changes_nothing_is_taken(self):
        fields = {"ignore_eos": False, "min_tokens": 0, "stop_token_ids": [], "guided_json": None, "bad_words": []}
        assert parse_chat(json.dumps({"messages": about()} | fields).encode()).mode == "gundam"


class TestRefusals:
    @pytest.mark.parametrize(
        ("fields", "param"),
        [
            ({"n": 2}, "n"),
            ({"frequency_penalty": 1.0}, "frequency_penalty"),
            ({"tools": [{"type": "function", "function": {"name": "x"}}]}, "tools"),
            ({"response_format": {"type": "json_object"}}, "response_format"),
            ({"logprobs": True, "top_logprobs": 2}, "top_logprobs"),
            ({"extra": {"repetition_penalty": 1.1}}, "repetition_penalty"),
            ({"extra": {"stop_token_ids": [1]}}, "stop_token_ids"),
            ({"extra": {"ignore_eos": True}}, "ignore_eos"),
            ({"extra": {"min_tokens": 5}}, "min_tokens"),
            ({"extra": {"structured_outputs": {"regex": "x"}}}, "structured_outputs"),
            ({"extra": {"guided_json": {"type": "object"}}}, "guided_json"),
            ({"extra": {"guided_regex": "x"}}, "guided_regex"),
            ({"extra": {"guided_choice": ["x"]}}, "guided_choice"),
            ({"extra": {"guided_grammar": "x"}}, "guided_grammar"),
            ({"extra": {"include_stop_str_in_output": True}}, "include_stop_str_in_output"),
            ({"extra": {"bad_words": ["x"]}}, "bad_words"),
            ({"extra": {"allowed_token_ids": [1]}}, "allowed_token_ids"),
            ({"extra": {"regex": "x"}}, "regex"),
            ({"extra": {"custom_logit_processor": '{"callable": "80"}'}}, "custom_logit_processor"),
            ({"stop": ["x"] * 17}, "stop"),
            ({"messages": [{"role": "system", "content": "x"}]}, "messages"),
            ({"messages": [{"role": "user", "content": [{"type": "audio"}]}]}, "messages"),
            ({"messages": [{"role": "user", "content": ""}]}, "messages"),
            ({"messages": [{"role": "user", "content": about()[0]["content"][:1] * (MOST_IMAGES + 1)}]}, "messages"),
            ({"extra": {"mode": "huge"}}, None),
            ({"temperature": -1}, None),
            ({"max_tokens": 0}, None),
            ({"top_p": 2}, None),
            ({"extra": {"vllm_xargs": {"ngram_size": "many"}}}, "vllm_xargs.ngram_size"),
        ],
    )  # fmt: skip
    def test_what_is_not_offered_is_said_and_not_left_aside(self, client, fields, param):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, **fields)
        assert caught.value.type == "invalid_request_error"
        assert caught.value.param == param

    def test_what_changes_nothing_is_taken(self, client, expected):
        fields = {"n": 1, "presence_penalty": 0, "tools": [], "user": "me", "response_format": {"type": "text"}}
        assert said(client, extra={"top_k": -1, "unheard_of": 1}, **fields) == expected

    def test_another_model_is_not_here(self, client):
        with pytest.raises(openai.NotFoundError) as caught:
            ask(client, model="gpt-4o")
        assert caught.value.code == "model_not_found"

    @pytest.mark.parametrize(
        "url",
        [
            "file:///etc/passwd",
            "/etc/passwd",
            "etc/passwd",
            "http://127.0.0.1:9/x.png",
            "ftp://host/x.png",
            "data:image/png;base64,%%%",
            "data:image/png;base64,",
            "data:",
            "",
        ],
    )
    def test_only_pictures_that_are_sent_are_looked_at(self, client, url):
        with pytest.raises(openai.BadRequestError) as caught:
            ask(client, [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}])
        assert "passwd" not in str(caught.value)

    def test_of_a_damaged_picture_no_more_is_said_than_that(self, client):
        with pytest.raises(openai.BadRequestError, match="image 1: the picture is damaged or cut short"):
            ask(client, about(encoded(PAGE)[:-50]))

    @pytest.mark.parametrize(
        "body", [b"", b"{", b"[]", b'{"messages": 1}', b"[" * 100_000, b'{"messages": [NaN]}', b"\xff"]
    )
    def test_what_is_no_request_is_a_mistake(self, server, body):
        answer = httpx.post(f"{server.address}/v1/chat/completions", content=body)
        assert answer.status_code == 400
        assert answer.json()["error"]["type"] == "invalid_request_error"

    def test_what_was_sent_is_not_repeated(self, server):
        body = json.dumps({"messages": [{"role": "user", "content": 7}], "temperature": "secret"})
        assert "secret" not in httpx.post(f"{server.address}/v1/chat/completions", content=body).text

    def test_an_error_in_the_middle_of_a_stream_is_an_event(self, client, server, monkeypatch):
        with openai.Stream.__enter__(ask(client, stream=True, max_tokens=4000)) as stream:
            next(iter(stream))
            monkeypatch.setattr(server.worker.ocr.tokenizer.__class__, "piece", None)
            with pytest.raises(openai.APIError, match="its log says more"):
                list(stream)

    def test_an_image_from_an_address_is_fetched_where_that_is_allowed(self, ocr):
        question = parse_chat(json.dumps({"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "http://127.0.0.1/x.png"}]}]}).encode())  # fmt: skip
        assert question.images == ("http://127.0.0.1/x.png",)
        with running(OCR(ocr.network, ocr.tokenizer), allow_urls=True) as server:
            content = [{"type": "image_url", "image_url": {"url": "http://127.0.0.1/x.png"}}]
            body = {"messages": [{"role": "user", "content": content}]}
            answer = httpx.post(f"{server.address}/v1/chat/completions", json=body)
        assert "is not on the public internet" in answer.json()["error"]["message"]


class TestModels:
    def test_the_reader_is_listed_in_every_mode(self, client):
        assert {"micro", "micro:tiny", "micro:gundam-m"} <= {model.id for model in client.models.list()}

    def test_one_can_be_looked_up(self, client):
        assert client.models.retrieve("micro:tiny").id == "micro:tiny"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("gpt-4o")


class TestResponses:
    def test_they_are_answered_as_chats_are(self, client, expected):
        content = [{"type": "input_image", "image_url": data_url(PAGE)}, {"type": "input_text", "text": ASKED}]
        fields = {"model": "micro", "max_output_tokens": 30, "extra_body": VLLM | {"mode": "tiny"}}
        answer = client.responses.create(input=[{"role": "user", "content": content}], **fields)
        assert (answer.output_text, answer.status) == (expected, "incomplete")
        assert answer.usage.output_tokens == 30
        events = list(client.responses.create(input=[{"role": "user", "content": content}], stream=True, **fields))
        assert "".join(event.delta for event in events if event.type == "response.output_text.delta") == expected
        assert events[-1].type == "response.incomplete"
        assert events[-1].response.output_text == expected
        assert [event.sequence_number for event in events] == list(range(len(events)))

    def test_a_text_is_enough(self, client, ocr):
        fields = {"model": "micro", "max_output_tokens": 30, "extra_body": VLLM}
        answer = client.responses.create(input="Hello", instructions="Be kind.", **fields)
        assert answer.output_text == ocr.ask("Hello", (), "tiny", SOME).text

    def test_what_was_said_before_cannot_be_gone_on_from(self, client):
        with pytest.raises(openai.BadRequestError, match="previous_response_id"):
            client.responses.create(model="micro", input="Hello", previous_response_id="resp_1")


class TestLangChain:
    def test_its_client_reads_whole_and_streamed(self, server, expected):
        langchain = pytest.importorskip("langchain_openai")
        client = langchain.ChatOpenAI(
            base_url=f"{server.address}/v1", api_key="none", max_retries=0, extra_body=VLLM | {"mode": "tiny"}, **USUAL
        )
        messages = [("user", about()[0]["content"])]
        assert client.invoke(messages).content == expected
        assert "".join(chunk.content for chunk in client.stream(messages)) == expected
