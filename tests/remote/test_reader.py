"""Pages read by servers come out as if they were read here: with a status each, in their order, whatever fails."""

from __future__ import annotations

import math
import threading
import time
from contextlib import ExitStack
from dataclasses import replace

import pytest
from drawn_pages import inked
from served import MODEL, Dies, Fake, dying, once, slowly

from dsocr import Options, Sampling
from dsocr.errors import InputError
from dsocr.reading import Reading
from dsocr.remote import connect
from dsocr.remote.pool import Patience
from dsocr.remote.reader import Habits
from dsocr.remote.wire import Waits

HASTY = Habits(Waits(5, 5, 1), Patience(faults=4, busy=6, first_pause=0.01, longest_pause=0.05, silence=60))
STOP = Options(loops="stop")


@pytest.fixture
def serve():
    with ExitStack() as running:
        yield lambda *args, **traits: running.enter_context(Fake(*args, **traits).running())


def reader(*fakes: Fake, notes: list[str] | None = None, habits: Habits = HASTY, **wishes):
    note = notes.append if notes is not None else lambda _: None
    return connect([fake.url for fake in fakes], note=note, habits=habits, **wishes)


def read(*fakes: Fake, options: Options = Options(), pages: int = 1):  # noqa: B008
    """The transcripts of so many pages, each of another size."""
    sources = [inked((80 + number, 60)) for number in range(pages)]
    steps = reader(*fakes).readings_of(sources, options)
    return [step.transcript() for step in steps if isinstance(step, Reading)]


def size_of(fake: Fake, form: dict) -> str:
    return f"page {fake.look(form).width}"


class TestRecipes:
    def test_vllm_is_asked_with_the_page_first_its_special_tokens_kept_and_the_rule_against_repeats(self, serve):
        fake = serve("vllm")
        (page,) = read(fake)
        (form,) = fake.forms
        assert (page.raw, page.status, page.reason, page.attempts) == ("some words", "ok", None, 1)
        assert [part["type"] for part in form["messages"][0]["content"]] == ["image_url", "text"]
        assert form["messages"][0]["content"][1]["text"] == "<|grounding|>Convert the document to markdown."
        assert form["model"] == MODEL
        assert form["temperature"] == 0
        assert form["skip_special_tokens"] is False
        assert form["vllm_xargs"] == {"ngram_size": 30, "window_size": 90, "whitelist_token_ids": [11, 12]}
        assert "max_tokens" not in form
        assert "custom_params" not in form

    def test_sglang_is_asked_by_the_name_of_its_own_rule(self, serve):
        fake = serve("sglang")
        read(fake, options=Options(sampling=Sampling(ngram_size=20, max_tokens=7)))
        (form,) = fake.forms
        assert form["custom_params"] == {"ngram_size": 20, "window_size": 90, "whitelist_token_ids": [11, 12]}
        assert b"DeepseekOCRNoRepeatNGramLogitProcessor" in bytes.fromhex(form["custom_logit_processor"][14:-2])
        assert form["images_config"] == {"image_mode": "gundam"}
        assert form["max_tokens"] == 7
        assert "vllm_xargs" not in form

    def test_sglang_without_its_rule_is_told_of_and_asked_without_it(self, serve):
        fake, notes = serve("sglang", custom=False), []
        (reading, _) = reader(fake, notes=notes).readings_of([inked()], Options())
        list(reading)
        assert "custom_params" not in fake.forms[0]
        assert "--enable-custom-logit-processor" in notes[-1]

    def test_of_vllm_it_is_said_that_its_rule_is_not_known(self, serve):
        notes: list[str] = []
        reader(serve("vllm"), serve("sglang"), notes=notes)
        assert ["it does not say whether it keeps the rule" in note for note in notes] == [True, False]

    def test_a_server_of_another_kind_is_asked_for_nothing_that_only_some_know(self, serve):
        fake = serve("somebody")
        (page,) = read(fake)
        assert page.status == "ok"
        assert set(fake.forms[0]) == {"model", "messages", "temperature", "stream", "stream_options"}

    def test_the_picture_arrives_pixel_for_pixel(self, serve):
        fake, page = serve(), inked((700, 900))
        (reading, _) = reader(fake).readings_of([page], Options())
        list(reading)
        assert fake.look(fake.forms[0]).tobytes() == page.tobytes()

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (Options("base"), "mode 'base' is not available at http://127.0.0.1"),
            (Options(sampling=Sampling(ngram_rule="huggingface")), "ngram rule 'huggingface' is not available at"),
            (Options(prompt="before <image> after"), "puts the page before the prompt"),
            (Options(rotate="auto"), "cannot be tried at a server"),
        ],
    )
    def test_what_a_server_cannot_do_is_said_in_one_line_before_anything_is_read(self, serve, options, said):
        with pytest.raises(InputError, match=said) as raised:
            reader(serve()).readings_of([inked()], options)
        assert "\n" not in str(raised.value)


class TestSureness:
    def test_the_servers_of_this_model_are_asked_how_sure_it_is(self, serve):
        fake = serve("vllm", lambda form: [("some ", math.log(0.9)), ("words", math.log(0.8))])
        (page,) = read(fake, options=Options(unsure="keep"))
        assert fake.forms[0]["logprobs"] is True
        assert page.confidence == pytest.approx(0.72**0.5)
        assert page.attempts == 1

    def test_what_does_not_tell_leaves_the_confidence_unknown_and_the_page_read_once(self, serve):
        fake = serve("sglang")
        (page,) = read(fake)
        assert (page.confidence, page.attempts, len(fake.forms)) == (None, 1, 1)

    @pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf, 20.0, 10**400, "0.1", True, None])
    def test_what_is_no_probability_costs_nothing_but_the_confidence(self, serve, odd):
        fake = serve("vllm", lambda form: [("some ", -0.1), ("words", odd)])
        (page,) = read(fake)
        assert (page.raw, page.status, page.confidence) == ("some words", "ok", None)

    def test_a_server_that_will_not_tell_is_asked_without_from_then_on(self, serve):
        def answer(form):
            return (400, {"error": "no logprobs here"}) if "logprobs" in form else ["words"]

        fake = serve("vllm", answer)
        pages = reader(fake, batch=1).readings_of([inked((90, 60)), inked((91, 60)), inked((92, 60))], Options())
        told = [step.transcript() for step in pages if isinstance(step, Reading)]
        assert [(page.raw, page.status, page.confidence) for page in told] == [("words", "ok", None)] * 3
        assert ["logprobs" in form for form in fake.forms] == [True, False, False, False]

    def test_an_unsure_page_is_looked_at_again_and_the_surest_text_taken(self, serve):
        sure = iter([0.5, 0.8, 0.95, 0.99])
        fake = serve("vllm", lambda form: [(f"text of height {fake.look(form).height}", math.log(next(sure)))])
        steps = reader(fake).readings_of([inked((400, 300))], Options())
        (page,) = [step.transcript() for step in steps if isinstance(step, Reading)]
        assert [fake.look(form).size for form in fake.forms] == [(400, 300), (400, 282), (376, 300)]
        assert (page.raw, page.attempts, page.status) == ("text of height 300", 3, "ok")
        assert page.confidence == pytest.approx(0.95)

    @pytest.mark.parametrize("options", [Options(unsure="keep"), Options(prompt="describe")])
    def test_it_is_read_once_where_that_is_asked_for_or_the_words_are_the_models_own(self, serve, options):
        fake = serve("vllm", lambda form: [("words", math.log(0.5))])
        (page,) = read(fake, options=options)
        assert (page.attempts, len(fake.forms)) == (1, 1)
        assert page.confidence == pytest.approx(0.5)

    @pytest.mark.parametrize("fault", [Dies, lambda: (400, {"error": "no"})])
    def test_a_server_that_fails_meanwhile_costs_nothing_of_what_was_read(self, serve, fault):
        def answer(form):
            if len(fake.forms) == 1:
                return [("first", math.log(0.5))]
            failed = fault()
            if isinstance(failed, Dies):
                raise failed
            return failed

        fake = serve("vllm", answer)
        (page,) = read(fake)
        assert (page.raw, page.status, page.attempts) == ("first", "ok", 1)
        assert page.confidence == pytest.approx(0.5)
        assert len(fake.forms) > 1


class TestEndings:
    @pytest.mark.parametrize(
        ("most", "status", "reason"),
        [
            (3, "truncated", "the limit of new tokens was reached"),
            (None, "truncated", "the model's context is full"),
        ],
    )
    def test_a_text_that_was_cut_off_says_by_what(self, serve, most, status, reason):
        options = Options(sampling=Sampling(max_tokens=most))
        (page,) = read(serve(finish="length"), options=options)
        assert (page.status, page.reason) == (status, reason)

    def test_a_page_tells_what_it_took(self, serve):
        (reading, _) = reader(serve()).readings_of([inked((1240, 1754))], Options())
        deltas = list(reading)
        assert [delta.text for delta in deltas] == ["some ", "words", ""]
        assert deltas[-1].finish_reason == "stop"
        assert (reading.tokens, reading.stats.prompt_places) == (3, 900)
        assert reading.stats.vision_tokens > 600

    def test_blank_pages_are_not_asked_about(self, serve):
        from PIL import Image

        fake = serve()
        steps = reader(fake).readings_of([Image.new("RGB", (80, 60), "white")], Options())
        assert [step.transcript().status for step in steps if isinstance(step, Reading)] == ["blank"]
        assert not fake.forms

    def test_text_streams_while_it_is_written(self, serve):
        go_on = threading.Event()

        def answer(form):
            yield "first "
            assert go_on.wait(10)
            yield "second"

        steps = reader(serve(answer=answer)).readings_of([inked()], Options())
        deltas = iter(next(steps))
        assert next(deltas).text == "first "
        go_on.set()
        assert next(deltas).text == "second"
        steps.close()

    def test_nobody_waits_for_a_page_that_is_cancelled_and_its_server_sees_the_connection_end(self, serve):
        fake = serve(answer=lambda form: slowly(*["word "] * 1000))
        steps = reader(fake).readings_of([inked()], STOP)
        next(iter(next(steps)))
        began = time.monotonic()
        steps.close()
        while not fake.hung_up and time.monotonic() - began < 10:
            time.sleep(0.02)
        assert fake.hung_up == 1


LOOP = ["Good text.\n", *["the same again\n"] * 100]


class TestLoops:
    def test_a_page_that_repeats_itself_is_broken_off_and_keeps_its_good_text(self, serve):
        fake = serve(answer=lambda form: slowly(*LOOP, *["the same again\n"] * 2000, pause=0.001))
        (page,) = read(fake, options=STOP)
        assert page.status == "looped"
        assert page.raw == "Good text.\nthe same again\n"
        assert "times in a row" in page.reason

    def test_it_is_read_on_from_its_good_text_with_a_stricter_rule(self, serve):
        fake = serve(answer=lambda form: ["and on"] if len(form["messages"]) == 2 else LOOP)
        (page,) = read(fake)
        begun = fake.forms[-1]
        assert (page.status, page.attempts) == ("looped", 2)
        assert page.raw == "Good text.\nthe same again\nand on"
        assert begun["messages"][1] == {"role": "assistant", "content": "Good text.\nthe same again"}
        assert begun["vllm_xargs"]["window_size"] == 2000

    def test_ways_that_the_server_lacks_are_passed_over_and_not_counted(self, serve):
        fake = serve("somebody", answer=lambda form: LOOP if not form["temperature"] else ["a chance"])
        (page,) = read(fake)
        assert page.raw == "a chance"
        assert page.attempts == len(fake.forms)
        assert page.reason.endswith("read again at temperature 0.3")

    def test_kept_loops_are_kept(self, serve):
        (page,) = read(serve(answer=lambda form: LOOP), options=Options(loops="keep"))
        assert (page.status, page.raw) == ("ok", "".join(LOOP))


class TestFaults:
    @pytest.mark.parametrize(
        "fault",
        [
            Dies(),
            (500, {"error": {"message": "oops"}}),
            (429, {"error": "slow down"}, {"Retry_After": "0.01"}),
            (503, {"message": "loading"}),
            [7],  # no text where text should be
        ],
    )
    def test_a_passing_fault_costs_nothing(self, serve, fault):
        fake = serve(answer=once(fault, then=["all ", "there"]))
        (page,) = read(fake)
        assert page.status == "ok"
        assert page.raw == "all there"

    def test_a_server_that_dies_in_the_middle_is_asked_again_and_nothing_is_shown_twice(self, serve):
        fake = serve(answer=once(dying("all ", "th"), dying("all "), then=["all there", " is"]))
        (reading, _) = reader(fake).readings_of([inked()], Options())
        assert "".join(delta.text for delta in reading) == "all there is"
        assert reading.transcript().raw == "all there is"

    def test_a_second_telling_that_differs_is_the_one_that_counts(self, serve):
        fake = serve(answer=once(dying("all th"), then=["All there", " is"]))
        (reading, _) = reader(fake).readings_of([inked()], Options())
        assert "".join(delta.text for delta in reading) == "all th"
        assert reading.transcript().raw == "All there is"

    def test_a_slow_server_is_left_in_time(self, serve):
        fake = serve(answer=once(slowly("too", "late", pause=3), then=["soon"]))
        habits = replace(HASTY, waits=Waits(5, 0.3, 0.3))
        (reading, _) = reader(fake, habits=habits).readings_of([inked()], Options())
        assert reading.transcript().raw == "soon"

    def test_a_page_that_is_refused_fails_at_once_with_the_servers_words(self, serve):
        fake = serve(answer=lambda form: (400, {"error": {"message": "the prompt\nis too long"}}))
        (page,) = read(fake)
        assert page.status == "failed"
        assert page.reason.endswith("400 the prompt is too long")
        assert ["logprobs" in form for form in fake.forms] == [True, False]  # it might have been that

    def test_a_page_whose_servers_always_fail_fails_after_so_many_tries_and_the_others_do_not(self, serve):
        fake = serve()
        fake.answer = lambda form: (500, {}) if fake.look(form).width == 81 else ["fine"]
        pages = read(fake, pages=3)
        assert [page.status for page in pages] == ["ok", "failed", "ok"]
        assert pages[1].reason.startswith("tried 4 times, the last time: http://127.0.0.1")

    def test_a_server_that_is_always_busy_is_not_asked_for_ever(self, serve):
        (page,) = read(serve(answer=lambda form: (429, {}, {"Retry_After": "0"})))
        assert page.status == "failed"
        assert page.reason.startswith("put off 7 times")


class TestSeveralServers:
    def test_they_share_the_pages_and_pages_stay_in_their_order(self, serve):
        fakes = [serve() for _ in range(3)]
        for fake in fakes:
            fake.answer = lambda form, fake=fake: slowly(size_of(fake, form), pause=0.05)
        pages = read(*fakes, pages=24)
        assert [page.raw for page in pages] == [f"page {80 + number}" for number in range(24)]
        assert all(len(fake.forms) >= 4 for fake in fakes)

    def test_one_that_dies_costs_no_page(self, serve):
        steady, mortal = serve(), serve()
        steady.answer = lambda form: slowly(size_of(steady, form), pause=0.03)

        def answer(form):
            if len(mortal.forms) > 2:
                raise Dies
            return [size_of(mortal, form)]

        mortal.answer = answer
        pages = read(steady, mortal, pages=30)
        assert [page.raw for page in pages] == [f"page {80 + number}" for number in range(30)]
        assert {page.status for page in pages} == {"ok"}
        assert len(mortal.forms) > 2

    def test_one_that_is_down_from_the_beginning_is_told_of_and_left_out(self, serve):
        notes = []
        with Fake().running() as gone:
            address = gone.url
        found = connect([f"{address},{serve().url}"], note=notes.append, habits=HASTY)
        assert len(found.servers) == 1
        assert notes[0].startswith(f"left out: no server answers: {address}: ")

    def test_none_that_answers_is_an_error_of_one_line(self):
        with Fake().running() as gone:
            address = gone.url
        with pytest.raises(InputError, match=f"no server answers: {address}: Connection refused"):
            connect([address], habits=HASTY)

    def test_when_all_are_gone_every_page_still_has_its_line(self, serve):
        fake = Fake()
        with fake.running():
            found = reader(fake, habits=replace(HASTY, patience=replace(HASTY.patience, silence=0.2)))
        steps = found.readings_of([inked((80 + number, 60)) for number in range(20)], Options())
        pages = [step.transcript() for step in steps if isinstance(step, Reading)]
        assert [page.status for page in pages] == ["failed"] * 20

    def test_servers_of_different_models_are_not_mixed(self, serve):
        with pytest.raises(InputError, match="one run has one model"):
            reader(serve(), serve(models=("another",)))


class TestKeys:
    def test_a_key_is_sent_and_never_told(self, serve):
        fake, notes = serve(key="s3cret"), []
        found = reader(fake, notes=notes, key="s3cret")
        fake.traits["key"] = "changed"
        (reading, _) = found.readings_of([inked()], Options())
        page = reading.transcript()
        assert page.status == "failed"
        assert "no: Bearer …" in page.reason
        assert "s3cret" not in f"{page.reason} {notes} {found.servers}"

    def test_a_missing_key_is_said(self, serve):
        with pytest.raises(InputError, match="DSOCR_ENGINE_KEY"):
            reader(serve(key="s3cret"))

    @pytest.mark.parametrize("address", ["ftp://host/v1", "http://user:word@host/v1", "host:8000", "", ","])
    def test_what_is_no_address_is_said(self, address):
        with pytest.raises(InputError):
            connect([address])


class TestModels:
    def test_of_several_models_the_one_asked_for_is_taken(self, serve):
        fake = serve(models=("a", "b"))
        assert reader(fake, model="b").model == "b"
        with pytest.raises(InputError, match="there are: a, b"):
            reader(fake)
        with pytest.raises(InputError, match="'c' is not served; there are: a, b"):
            reader(fake, model="c")

    def test_v1_may_be_left_out_of_an_address(self, serve):
        assert connect([serve().url.removesuffix("/v1")], habits=HASTY).places == 8192

    def test_a_door_that_is_no_model_server_is_said(self, serve):
        fake = serve()
        with pytest.raises(InputError, match="usually ends in /v1"):
            connect([fake.url + "/elsewhere"])
