"""The front door: checkpoints are found, pages go in, Documents come out, and no page is lost."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from itertools import groupby
from pathlib import Path

import huggingface_hub
import pytest
import torch
from drawn_pages import inked
from huggingface_hub.errors import LocalEntryNotFoundError
from PIL import Image

import dsocr
from dsocr import Delta, InputError, Page, Sampling, load
from dsocr.engine.engine import Engine
from dsocr.model.checkpoint import hub_folder
from dsocr.ocr import OCR, Options, Reading

FEW = Sampling(max_tokens=4)
PAGE = inked()
PLACES = 73  # of a page in tiny mode
FIGURE = "<|ref|>image<|/ref|><|det|>[[0, 0, 499, 499]]<|/det|>\nwords"


@pytest.fixture(scope="module")
def loaded(checkpoint):
    return load(checkpoint)


@pytest.fixture
def ocr(loaded) -> OCR:
    return OCR(loaded.network, loaded.tokenizer)


@pytest.fixture
def no_hub(monkeypatch):
    """A machine with an empty cache and no network; gives back what the hub was asked for."""
    asked: list[str] = []

    def fail(name, *, local_files_only=False, **_):
        asked.append(name)
        raise LocalEntryNotFoundError("not here") if local_files_only else ConnectionError("no\nnetwork")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", fail)
    return asked


@pytest.fixture
def hub_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("variable", ["", "HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
def test_the_hubs_cache_is_looked_for_where_its_client_has_it(variable, monkeypatch, tmp_path):
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv(variable, str(tmp_path))
    ask = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    told = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    assert hub_folder("some/model") == Path(told) / "models--some--model"


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(InputError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def encode(image: Image.Image, format: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format, **options)
    return buffer.getvalue()


def tiff(count: int, size: tuple[int, int] = (80, 60)) -> bytes:
    frames = [inked(size, (40 * number, 0, 0)) for number in range(count)]
    return encode(frames[0], "TIFF", save_all=True, append_images=frames[1:])


def read(ocr: OCR, source, **options) -> dsocr.Document:
    return ocr.read(source, **({"mode": "tiny", "sampling": FEW} | options))


class TestLoad:
    def test_nano_comes_with_the_package_and_reads(self):
        (page,) = load("nano").read(PAGE, mode="tiny", sampling=FEW).transcripts
        assert (page.page, page.width, page.height) == (1, 80, 60)
        assert page.status in ("ok", "truncated")

    def test_a_folder_may_be_a_text_or_a_path(self, checkpoint):
        assert load(str(checkpoint)).network.config == load(checkpoint).network.config

    def test_without_a_name_it_is_nano_where_the_published_one_is_not_cached(self, no_hub, hub_cache):
        assert load().network.config == load("nano").network.config
        assert no_hub == []
        (hub_cache / "models--deepseek-ai--DeepSeek-OCR").mkdir()
        assert load().network.config == load("nano").network.config
        assert no_hub == ["deepseek-ai/DeepSeek-OCR"]

    def test_without_a_name_it_is_the_published_one_where_that_is_cached(self, monkeypatch, checkpoint, hub_cache):
        (hub_cache / "models--deepseek-ai--DeepSeek-OCR").mkdir()
        monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda name, **_: str(checkpoint))
        assert load().network.config == load(checkpoint).network.config

    @pytest.mark.parametrize("name", ["nonsense", "", "~no-such-person/there", "a/b/c", "x" * 5000, "a\nb", "\0"])
    def test_an_unknown_name_is_a_mistake_and_the_hub_is_not_asked(self, name, no_hub, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert "hub name such as" in refusal(load, name)
        assert no_hub == []

    def test_a_hub_name_without_a_network_says_what_to_do(self, no_hub):
        assert "dsocr pull some/model" in refusal(load, "some/model")
        assert no_hub == ["some/model"] * 2

    @pytest.mark.parametrize("missing", ["config.json", "model.safetensors", "tokenizer.json"])
    def test_a_folder_that_is_not_whole_is_a_mistake(self, checkpoint, tmp_path, missing):
        for file in checkpoint.iterdir():
            if file.name != missing:
                (tmp_path / file.name).symlink_to(file)
        assert str(tmp_path) in refusal(load, tmp_path)

    @pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
    def test_a_page_is_read_in_every_dtype(self, checkpoint, dtype):
        ocr = load(checkpoint, device="cpu", dtype=dtype)
        assert str(ocr.network.dtype) == f"torch.{dtype}"
        assert read(ocr, PAGE).transcripts[0].status in ("ok", "truncated")

    def test_a_small_checkpoint_is_widened_on_a_cpu(self, checkpoint):
        assert str(load(checkpoint, device="cpu").network.dtype) == "torch.float32"

    @pytest.mark.parametrize(
        "wrong", [{"dtype": "int2"}, {"dtype": ""}, {"device": "abacus"}, {"device": "meta"}, {"device": "cuda:77"}]
    )
    def test_an_unknown_device_or_dtype_is_a_mistake_before_anything_is_downloaded(self, wrong, no_hub):
        assert "known: auto, " in refusal(load, "some/model", **wrong)
        assert no_hub == []


class TestSources:
    def test_a_file_and_its_bytes_and_its_picture_read_alike(self, ocr, tmp_path):
        path = tmp_path / "page.png"
        path.write_bytes(encode(PAGE, "PNG"))
        sources = (path, str(path), path.read_bytes(), PAGE, Page("there", 1, PAGE))
        documents = [read(ocr, source) for source in sources]
        assert [document.source for document in documents] == [str(path), str(path), "bytes", "image", "there"]
        assert len({document.transcripts for document in documents}) == 1

    def test_a_page_keeps_its_number(self, ocr):
        assert read(ocr, Page("book.pdf", 7, PAGE)).transcripts[0].page == 7

    def test_standard_input_is_called_so(self, ocr, monkeypatch):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(encode(PAGE, "PNG"))))
        assert read(ocr, "-").source == "stdin"

    def test_the_pages_of_a_pdf_come_in_order_with_their_numbers(self, ocr, make_pdf, dictate):
        dictate("two", "three", "five")
        document = read(ocr, make_pdf(["x"] * 5), pages="5,2-3")
        assert [(page.page, page.raw) for page in document.transcripts] == [(2, "two"), (3, "three"), (5, "five")]

    def test_a_broken_page_of_a_pdf_is_a_failed_transcript_among_the_others(self, ocr, make_pdf, dictate):
        dictate("words")
        pages = read(ocr, make_pdf(["one", None, "three"])).transcripts
        assert [(page.page, page.status) for page in pages] == [(1, "ok"), (2, "failed"), (3, "ok")]
        assert "damaged" in pages[1].reason
        assert pages[1].raw == ""

    def test_a_broken_page_of_a_tiff_is_a_failed_transcript_among_the_others(self, ocr, dictate):
        dictate("words")
        frames = [PAGE, Image.new("RGB", (3, 3)), PAGE]
        pages = read(ocr, encode(frames[0], "TIFF", save_all=True, append_images=frames[1:])).transcripts
        assert [(page.page, page.status) for page in pages] == [(1, "ok"), (2, "failed"), (3, "ok")]

    def test_a_folder_is_read_file_by_file_by_whoever_asks(self, ocr, tmp_path):
        assert "without pages" in refusal(ocr.read, tmp_path)
        (tmp_path / "page.png").write_bytes(encode(PAGE, "PNG"))
        assert "find_inputs" in refusal(ocr.read, tmp_path)
        assert "find_inputs" in refusal(ocr.read, str(tmp_path))

    @pytest.mark.parametrize("name", ["box.zip", "a.pdf"])
    def test_so_is_an_archive_whatever_it_is_called(self, ocr, tmp_path, name):
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for member in ("a.png", "b.png"):
                archive.writestr(member, encode(PAGE, "PNG"))
        for call in (ocr.read, ocr.stream):
            assert f"{name} is an archive of documents" in refusal(lambda call=call: list(call(tmp_path / name)))
        one = next(iter(dsocr.find_inputs([tmp_path / name])))
        assert [page.page for page in read(ocr, one).transcripts] == [1]

    @pytest.mark.parametrize("source", ["", "nothing.png", b"", b"rubbish", "x" * 5000, "\0"])
    def test_what_cannot_be_read_at_all_is_a_mistake(self, ocr, source, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        refusal(read, ocr, source)

    @pytest.mark.parametrize(
        ("wrong", "known"),
        [
            ({"mode": "huge"}, "known: tiny"),
            ({"mode": ""}, "known: tiny"),
            ({"prompt": " "}, "document, ocr"),
            ({"prompt": "<image> or <image>"}, "write it once"),
            ({"pages": "3-1"}, "backwards"),
            ({"dpi": 0}, "144"),
            ({"max_pixels": 0}, "limit"),
        ],
    )
    def test_options_that_no_page_can_be_read_with_are_a_mistake_before_any_is(self, ocr, wrong, known):
        assert known in refusal(Options(**wrong).check)
        assert known in refusal(ocr.readings, "nothing.png", Options(**wrong))


class TestReading:
    def test_a_limit_of_tokens_leaves_a_page_truncated_and_says_which_limit(self, ocr):
        (page,) = read(ocr, PAGE, sampling=Sampling(max_tokens=3)).transcripts
        assert (page.status, page.reason) == ("truncated", "the limit of new tokens was reached")

    def test_a_full_context_leaves_a_page_truncated_and_says_so(self, ocr):
        prompt = ocr.tokenizer.prompt_ids("<image>\nFree OCR.", [PLACES])
        ocr.engine = Engine(ocr.network, ocr.tokenizer, context_limit=len(prompt) + 3)
        (page,) = read(ocr, PAGE, prompt="free", sampling=Sampling(max_tokens=9)).transcripts
        assert (page.status, page.reason) == ("truncated", "the model's context is full")

    def test_a_page_too_large_for_the_context_does_not_cost_the_others(self, ocr):
        ocr.engine = Engine(ocr.network, ocr.tokenizer, context_limit=400)
        frames = [PAGE, inked((1300, 650)), PAGE]
        source = encode(frames[0], "TIFF", save_all=True, append_images=frames[1:])
        pages = ocr.read(source, mode="gundam", sampling=Sampling(max_tokens=1)).transcripts
        assert [page.page for page in pages] == [1, 2, 3]
        assert [page.status == "failed" for page in pages] == [False, True, False]
        assert "the model holds 400" in pages[1].reason

    def test_a_page_that_the_model_ended_is_ok(self, ocr, dictate):
        dictate("# Hello")
        (page,) = read(ocr, PAGE).transcripts
        assert (page.status, page.reason, page.raw) == ("ok", None, "# Hello")

    def test_the_stream_joined_is_the_raw_text(self, ocr):
        deltas = list(ocr.stream(tiff(2), mode="tiny", sampling=FEW))
        joined = {
            page: "".join(delta.text for delta in group) for page, group in groupby(deltas, lambda delta: delta.page)
        }
        assert joined == {page.page: page.raw for page in read(ocr, tiff(2)).transcripts}
        assert [delta.page for delta in deltas if delta.finish_reason] == [1, 2]

    def test_a_reading_left_early_is_read_to_its_end_by_its_transcript(self, ocr, dictate):
        dictate("a long text")
        (reading,) = ocr.readings(PAGE, Options())
        assert next(iter(reading)) == Delta("a", (7,), page=1)
        assert reading.transcript().raw == "a long text"
        assert reading.tokens == 11

    @pytest.mark.parametrize("trouble", [MemoryError(), torch.OutOfMemoryError("out"), InputError("no numbers")])
    def test_a_page_that_breaks_off_is_failed_and_keeps_what_it_had(self, trouble):
        def deltas():
            yield Delta("half", (7,))
            raise trouble

        transcript = Reading(Page("a.png", 2, PAGE), deltas()).transcript()
        assert (transcript.page, transcript.status, transcript.raw) == (2, "failed", "half")

    def test_a_stream_without_an_end_is_no_page_read_well(self):
        assert Reading(Page("a.png", 1, PAGE), iter([Delta("half", (7,))])).transcript().status == "failed"

    def test_pictures_of_pages_are_kept_or_let_go(self, ocr, dictate):
        dictate(FIGURE)
        kept, left = (read(ocr, PAGE, keep_images=keep).transcripts[0] for keep in (True, False))
        assert [crop.size for _, crop in dsocr.crop_figures(kept)] == [(39, 29)]
        assert left.image is None
        assert left == kept
        assert "its image was not kept" in refusal(lambda: list(dsocr.crop_figures(left)))

    @pytest.mark.parametrize(("prompt", "text"), [("ocr", True), ("locate:Hello", True), ("document", False)])
    def test_labels_are_text_where_the_prompt_asks_for_words(self, ocr, dictate, prompt, text):
        dictate("<|ref|>Hello<|/ref|><|det|>[[1, 2, 3, 4]]<|/det|>")
        document = read(ocr, PAGE, prompt=prompt)
        assert document.transcripts[0].labels_are_text is text
        assert dsocr.to_markdown(document) == dsocr.to_text(document) == ("Hello" if text else "")

    def test_a_read_document_takes_every_form(self, ocr, dictate):
        dictate(FIGURE)
        document = read(ocr, tiff(2))
        assert dsocr.to_markdown(document).split("\n\n<--- Page Split --->\n\n")[1] == "![](images/2_0.jpg)\n\nwords"
        assert dsocr.to_text(document) == "words\n\fwords"
        assert [page["number"] for page in json.loads(dsocr.to_json(document))["pages"]] == [1, 2]
        assert dsocr.to_picture(document).size == (80, 120)


class TestAsk:
    def test_a_question_about_no_image_is_answered(self, ocr):
        answer = ocr.ask("Hello", sampling=FEW)
        assert answer.prompt_places == len(ocr.tokenizer.prompt_ids("Hello", []))
        assert 1 <= len(answer.ids) <= 4

    def test_a_question_about_two_images_has_both_in_its_prompt(self, ocr):
        answer = ocr.ask("<image><image>", (PAGE, encode(PAGE, "PNG")), mode="tiny", sampling=FEW)
        assert answer.prompt_places == 1 + 2 * PLACES

    def test_a_question_is_about_one_image_without_saying_so(self, ocr):
        answer = ocr.ask("What?", (PAGE,), mode="tiny", sampling=FEW)
        assert answer.prompt_places == len(ocr.tokenizer.prompt_ids("<image>\nWhat?", [PLACES]))

    @pytest.mark.parametrize(("prompt", "images"), [("<image>", 2), ("<image><image>", 1), ("<image>", 0), ("free", 0)])
    def test_each_image_has_its_place_in_the_prompt(self, ocr, prompt, images):
        assert "write one for each" in refusal(ocr.ask, prompt, (PAGE,) * images, "tiny")


class TestDoor:
    def test_every_public_name_is_there(self):
        assert sorted(dsocr.__all__) == sorted(dsocr._ROOM_OF)
        assert all(getattr(dsocr, name) is not None for name in dsocr.__all__)
        assert set(dsocr.__all__) < set(dir(dsocr))
        with pytest.raises(AttributeError, match="nonsense"):
            dsocr.nonsense  # noqa: B018

    def test_nobody_waits_for_torch_who_only_wants_help(self):
        code = (
            "import sys, dsocr, dsocr.cli\n"
            "dsocr.cli.app(['read', '--help'], standalone_mode=False)\n"
            "sys.exit('torch' in sys.modules)"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent)
        assert (done.returncode, done.stderr) == (0, "")
        assert "--max-tokens" in done.stdout


def test_a_page_with_print_of_which_nothing_is_written_is_read_again_and_told_of(checkpoint):
    reader, page = load(checkpoint, "cpu"), inked((300, 200))
    (first,) = [
        delta.ids[0] for delta in reader.stream(page, mode="tiny", sampling=Sampling(max_tokens=1)) if delta.ids
    ]
    reader.tokenizer.eos = first  # now the network ends the page before it has written anything
    empty = reader.read(page, mode="tiny").transcripts[0]
    assert (empty.status, empty.raw) == ("ok", "")
    assert empty.confidence == 0
    assert empty.attempts == 4


@pytest.mark.parametrize("able", [True, False])
@pytest.mark.parametrize("dtype", ["auto", "bfloat16", "int8"])
def test_an_encoder_in_bfloat16_is_widened_where_the_cpu_does_not_multiply_it(able, dtype, checkpoint, monkeypatch):
    monkeypatch.setattr("dsocr.ocr._SMALL", 0)
    monkeypatch.setattr("dsocr.model.speed.multiplies_bfloat16", lambda: able)
    reader = load(checkpoint, "cpu", dtype)
    assert reader.network.dtype == torch.bfloat16
    assert reader.network.deep_encoder.newline.dtype == (torch.bfloat16 if able else torch.float32)
    exact, views = load(checkpoint, "cpu", "float32").network, reader.views(inked((300, 200)), "tiny")
    assert torch.equal(reader.network.encode(views), exact.encode(views)) is not able
    page = reader.read(inked((300, 200)), mode="tiny", sampling=Sampling(max_tokens=12)).transcripts[0]
    assert page.status == "truncated"


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"rotate": 45}, "rotate 45 is no turn"),
        ({"rotate": "180"}, "rotate '180' is no turn"),
        ({"pages": 0}, "pages is 0; it must be a text"),
        ({"password": False}, "password is False; it must be a text"),
        ({"max_pixels": None}, "max_pixels is None; it must be a number"),
        ({"dpi": True}, "dpi is True; it must be a number"),
        ({"pages": [1, 2]}, "pages is [1, 2]; it must be a text"),
        ({"prompt": 3}, "prompt is 3; it must be a text"),
        ({"mode": Options()}, "mode is Options"),
        ({"dpi": "x"}, "dpi is 'x'; it must be a number"),
    ],
)
def test_what_is_no_option_is_said_in_one_line(checkpoint, asked, told):
    reader = load(checkpoint, "cpu", lazily=True)
    with pytest.raises(InputError) as refused:
        reader.read(inked((300, 200)), **asked)
    assert str(refused.value).startswith(told)
