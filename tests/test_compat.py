"""The doors for other scripts: two published ones run with their imports changed, and say what dsocr says."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from drawn_pages import inked
from PIL import Image

from dsocr import MODES, Delta, FileAccessError, InputError, Options, Sampling, load
from dsocr.compat import LLM, AutoModel, AutoTokenizer, NGramPerReqLogitsProcessor, SamplingParams, _mode
from dsocr.ocr import OCR

HERE = Path(__file__).parent
POST = HERE / "golden" / "post"
PAGE = inked()
PLACES = 73  # of a page in tiny mode
FREE = "<image>\nFree OCR."
GROUNDED = "<image>\n<|grounding|>Convert the document to markdown."

TRANSFORMERS_SCRIPT = r"""
from transformers import AutoModel, AutoTokenizer
import torch
import os

os.environ["CUDA_VISIBLE_DEVICES"] = "0"
model_name = "nano"

tokenizer = AutoTokenizer.from_pretrained(model_name, trust_remote_code=True)
model = AutoModel.from_pretrained(
    model_name, _attn_implementation="flash_attention_2", trust_remote_code=True, use_safetensors=True
)
model = model.eval().cuda().to(torch.bfloat16)

prompt = "<image>\n<|grounding|>Convert the document to markdown. "
image_file = "your_image.png"
output_path = "your/output/dir"

res = model.infer(
    tokenizer, prompt=prompt, image_file=image_file, output_path=output_path,
    base_size=1024, image_size=640, crop_mode=True, save_results=True, test_compress=True,
)
"""

VLLM_SCRIPT = r"""
from vllm import LLM, SamplingParams
from vllm.model_executor.models.deepseek_ocr import NGramPerReqLogitsProcessor
from PIL import Image

llm = LLM(
    model="nano",
    enable_prefix_caching=False,
    mm_processor_cache_gb=0,
    logits_processors=[NGramPerReqLogitsProcessor],
)

image_1 = Image.open("image_1.png").convert("RGB")
image_2 = Image.open("image_2.png").convert("RGB")
prompt = "<image>\nFree OCR."
model_input = [
    {"prompt": prompt, "multi_modal_data": {"image": image_1}},
    {"prompt": prompt, "multi_modal_data": {"image": image_2}},
]

sampling_param = SamplingParams(
    temperature=0.0,
    max_tokens=8192,
    extra_args=dict(ngram_size=30, window_size=90, whitelist_token_ids={128821, 128822}),
    skip_special_tokens=False,
)

model_outputs = llm.generate(model_input, sampling_param)
for output in model_outputs:
    print(output.outputs[0].text)
"""


def run(script: str) -> dict:
    """The script with nothing changed but where it imports from; its names afterwards."""
    names: dict = {}
    exec(re.sub(r"from (transformers|vllm[\w.]*) import", "from dsocr.compat import", script), names)
    return names


def note(line: int) -> Image.Image:
    """One line of the sample note, as wide as the note: the fewer words, the sooner it is read."""
    return Image.open(HERE.parent / "docs" / "sample.png").crop((0, 40 * line, 640, 40 * line + 60))


@pytest.fixture
def no_cuda(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # put back after the script has set it


@pytest.fixture(scope="module")
def llm(checkpoint) -> LLM:
    return LLM(checkpoint, mode="tiny", device="cpu", logits_processors=[NGramPerReqLogitsProcessor])


@pytest.fixture
def model(checkpoint):
    return AutoModel.from_pretrained(checkpoint)


def greedy(**options) -> SamplingParams:
    return SamplingParams(**({"temperature": 0.0, "max_tokens": 40, "skip_special_tokens": False} | options))


def ask(llm: LLM, prompt=FREE, image=PAGE, **options):
    (output,) = llm.generate({"prompt": prompt, "multi_modal_data": {"image": image}}, greedy(**options))
    return output


class TestPublishedScripts:
    def test_the_transformers_script_reads_what_dsocr_reads_and_writes_its_files(
        self, tmp_path, monkeypatch, no_cuda, capsys
    ):
        monkeypatch.chdir(tmp_path)
        note(1).save("your_image.png")
        with pytest.warns(UserWarning, match="no CUDA"):
            text = run(TRANSFORMERS_SCRIPT)["res"]
        printed = capsys.readouterr().out
        rule = Sampling(ngram_rule="huggingface", ngram_size=20)
        ocr = load("nano", device="cpu", dtype="bfloat16")
        # The published call reads a page once, however unsure the network was.
        (reading,) = ocr.readings("your_image.png", Options("gundam", "document", sampling=rule, unsure="keep"))
        page = reading.transcript()
        assert text == page.raw.strip() != ""
        assert printed.startswith(page.raw + "\nimage size:  (640, 60)\nvalid image tokens:  24\n")
        folder = Path("your/output/dir")
        assert text in (folder / "result.mmd").read_text()
        assert Image.open(folder / "result_with_boxes.jpg").size == (640, 60)
        assert (folder / "images").is_dir()

    def test_the_vllm_script_reads_what_dsocr_reads(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        notes = note(1), note(3)
        for number, image in enumerate(notes, 1):
            image.save(f"image_{number}.png")
        outputs = run(VLLM_SCRIPT)["model_outputs"]
        rule = Sampling(ngram_size=30, ngram_window=90, whitelist=frozenset({128821, 128822}))
        answers = [load("nano").ask(FREE, (image,), "gundam", rule) for image in notes]
        assert answers[0].text != answers[1].text
        assert capsys.readouterr().out == "".join(answer.text + "\n" for answer in answers)
        assert [output.outputs[0].text for output in outputs] == [answer.text for answer in answers]


class TestInfer:
    @pytest.mark.parametrize(
        ("name", "sizes"),
        [
            ("tiny", (512, 512, False)),
            ("small", (640, 640, False)),
            ("base", (1024, 1024, False)),
            ("large", (1280, 1280, False)),
            ("gundam", (1024, 640, True)),
            ("gundam-m", (1280, 1024, True)),
        ],
    )
    def test_the_published_sizes_are_the_modes(self, name, sizes):
        assert replace(_mode(*sizes), name=name) == MODES[name]

    def test_sizes_without_a_name_are_a_mode_too(self):
        mode = _mode(1280, 640, True)
        assert (mode.overview_px, mode.tile_px, mode.max_tiles, mode.squash) == (1280, 640, 9, False)

    @pytest.mark.parametrize("sizes", [(0, 640), (1024, 600), (1024, 2048), (1024, "640")])
    def test_sizes_that_the_network_has_no_grid_for_are_a_mistake_that_names_the_known_ones(self, model, sizes):
        with pytest.raises(InputError, match=r"512 \(tiny\)"):
            model.infer(None, FREE, PAGE, "", *sizes)

    @pytest.mark.parametrize(
        ("size", "sizes", "valid"),
        [
            ((1000, 1400), (1024, 1024, False), 182),
            ((1000, 1400), (1280, 1280, False), 285),
            ((1000, 1400), (640, 640, False), 100),
            ((1000, 1400), (1024, 640, True), 782),
            ((1920, 1080), (1024, 640, True), 944),
        ],
    )
    def test_the_compression_is_counted_as_published(self, model, dictate, capsys, size, sizes, valid):
        dictate("x" * 99)
        model.infer(None, FREE, inked(size), "", *sizes, test_compress=True)
        lines = capsys.readouterr().out.splitlines()
        assert lines[1:3] == [f"image size:  {size}", f"valid image tokens:  {valid}"]
        assert lines[3:] == ["output texts tokens (valid):  100", f"compression ratio:  {round(100 / valid, 2)}"]

    @pytest.mark.parametrize("case", ["refs", "multi_box"])
    def test_figures_and_text_are_the_published_ones(self, model, dictate, tmp_path, case):
        written = (POST / case / "in.txt").read_text().removesuffix("<｜end▁of▁sentence｜>")  # noqa: RUF001
        dictate(written)
        assert model.infer(None, GROUNDED, POST / "page.png", tmp_path, save_results=True) == written.strip()
        published = {path.name: Image.open(path).size for path in (POST / case / "images").iterdir()}
        assert {path.name: Image.open(path).size for path in (tmp_path / "images").iterdir()} == published
        markdown = (tmp_path / "result.mmd").read_text()
        assert re.findall(r"!\[\]\(images/(.*)\)", markdown) == sorted(published)
        if case == "refs":  # the published links miss a figure where a block has two boxes
            assert markdown.split() == (POST / case / "result.mmd").read_text().split()

    def test_eval_mode_is_silent_and_still_writes_what_it_is_asked_to(self, model, dictate, tmp_path, capsys):
        dictate(" words ")
        assert model.infer(None, FREE, PAGE, tmp_path / "out", eval_mode=True, save_results=True) == "words"
        assert capsys.readouterr().out == ""
        assert (tmp_path / "out" / "result.mmd").read_text() == "words"

    @pytest.mark.parametrize(("eval_mode", "size"), [(False, 20), (True, 35)])
    def test_the_ban_is_the_published_one(self, model, monkeypatch, eval_mode, size):
        asked = []

        class Recorder:
            def stream(self, request):
                asked.append(request)
                return iter([Delta("", (), "stop")])

        monkeypatch.setattr(OCR, "engine", Recorder())
        model.infer(None, FREE + " ", PAGE, "", 512, 512, False, eval_mode=eval_mode)
        (request,) = asked
        assert request.sampling == Sampling(ngram_rule="huggingface", ngram_size=size)
        assert list(request.ids) == model.ocr.tokenizer.prompt_ids(FREE, [PLACES])

    def test_the_model_is_where_and_what_it_was_last_told(self, model, no_cuda):
        assert str(model.ocr.network.dtype) == "torch.float32"
        assert str(model.eval().to("cpu", torch.bfloat16).ocr.network.dtype) == "torch.bfloat16"
        with pytest.warns(UserWarning, match="stays on cpu"):
            assert str(model.to(device="cuda", dtype=torch.float16).ocr.network.device) == "cpu"
        assert str(model.ocr.network.dtype) == "torch.float16"

    def test_the_tokenizer_is_the_checkpoints_own(self, checkpoint, model):
        tokenizer = AutoTokenizer.from_pretrained(checkpoint, trust_remote_code=True)
        assert tokenizer.encode(FREE) == model.ocr.tokenizer.encode(FREE)

    def test_mistakes_are_mistakes(self, model, dictate, make_pdf, tmp_path):
        dictate("words")
        (tmp_path / "file").write_text("in the way")
        for error, match, arguments in (
            (InputError, "prompt is empty", ("", PAGE)),
            (InputError, "write it once", ("<image><image>", PAGE)),
            (InputError, "file name is empty", (FREE, "")),
            (InputError, "several pages", (FREE, make_pdf(["one", "two"]))),
            (FileAccessError, "cannot be written", (FREE, PAGE, tmp_path / "file" / "under")),
        ):
            with pytest.raises(error, match=match):
                model.infer(None, *arguments)
        with pytest.raises(InputError, match="output_path"):
            model.infer(None, FREE, PAGE, save_results=True)
        with pytest.raises(InputError, match="hub name such as"):
            AutoModel.from_pretrained("nonsense")
        with pytest.raises(InputError, match="known: auto, float32"):
            model.to(torch.float64).infer(None, FREE, PAGE)

    def test_a_page_that_breaks_off_is_an_error_and_no_answer(self, model, monkeypatch):
        class Broken:
            def stream(self, request):
                yield Delta("half", (7,))
                raise InputError("no numbers")

        monkeypatch.setattr(OCR, "engine", Broken())
        with pytest.raises(InputError, match="no numbers"):
            model.infer(None, FREE, PAGE)


class TestGenerate:
    def test_an_output_has_the_prompt_the_ids_and_the_reason(self, llm):
        output = ask(llm, max_tokens=5)
        answer = load(llm.ocr._source, device="cpu").ask(FREE, (PAGE,), "tiny", Sampling(max_tokens=5))
        (completion,) = output.outputs
        assert (completion.text, completion.token_ids) == (answer.text, list(answer.ids))
        assert (completion.finish_reason, output.finished, output.prompt) == ("length", True, FREE)
        assert output.prompt_token_ids == llm.ocr.tokenizer.prompt_ids(FREE, [PLACES])

    def test_many_prompts_are_answered_in_their_order_each_as_if_alone(self, llm):
        pictures = [inked(colour=colour) for colour in ("white", "red", "blue")]
        prompts = [{"prompt": FREE, "multi_modal_data": {"image": picture}} for picture in pictures]
        together = llm.generate(prompts, greedy())
        alone = [ask(llm, image=picture) for picture in pictures]
        assert [output.outputs for output in together] == [output.outputs for output in alone]
        assert len({output.request_id for output in [*together, *alone]}) == 6

    def test_each_prompt_may_have_its_own_params(self, llm):
        outputs = llm.generate(["Hello", "Hello"], [greedy(max_tokens=2), greedy(max_tokens=3)])
        assert [len(output.outputs[0].token_ids) for output in outputs] == [2, 3]

    def test_a_text_alone_is_a_prompt_and_two_images_are_another(self, llm):
        assert llm.generate("Hello")[0].prompt_token_ids == llm.ocr.tokenizer.prompt_ids("Hello", [])
        output = ask(llm, "<image><image>", [PAGE, PAGE], max_tokens=1)
        assert len(output.prompt_token_ids) == 1 + 2 * PLACES

    def test_no_pair_is_repeated_when_pairs_are_banned(self, llm):
        ban = {"ngram_size": 2, "window_size": 1000}
        free, banned = (list(pairwise(ask(llm, extra_args=args).outputs[0].token_ids)) for args in ({}, ban))
        assert len(set(free)) < len(free)
        assert len(set(banned)) == len(banned)

    def test_the_window_and_the_spared_ids_arrive(self, llm):
        free = ask(llm).outputs
        assert ask(llm, extra_args={"ngram_size": 2, "window_size": 1}).outputs == free
        spared = {"ngram_size": 2, "whitelist_token_ids": range(llm.ocr.network.config.decoder.vocab_size)}
        assert ask(llm, extra_args=spared).outputs == free

    def test_nothing_is_banned_without_the_processor(self, llm, checkpoint):
        plain = LLM(checkpoint, mode="tiny", device="cpu")
        assert ask(plain, extra_args={"ngram_size": 2}).outputs == ask(llm).outputs
        named = LLM(checkpoint, mode="tiny", device="cpu", logits_processors=["vllm:NGramPerReqLogitsProcessor"])
        assert ask(named, extra_args={"ngram_size": 2}).outputs == ask(llm, extra_args={"ngram_size": 2}).outputs

    def test_a_stop_text_ends_the_answer_and_is_named(self, llm):
        text = ask(llm).outputs[0].text
        stop = text[3:5]
        for skip in (False, True):
            (completion,) = ask(llm, stop=stop, skip_special_tokens=skip).outputs
            assert (completion.finish_reason, completion.stop_reason) == ("stop", stop)
            assert stop not in completion.text
        assert ask(llm, stop=stop).outputs[0].text == text.partition(stop)[0]

    def test_the_end_of_text_is_among_the_ids(self, llm, monkeypatch):
        eos = llm.ocr.tokenizer.eos
        second = ask(llm).outputs[0].token_ids[1]
        monkeypatch.setattr(llm.ocr.tokenizer, "eos", second)
        (completion,) = ask(llm).outputs
        assert (completion.token_ids[-1], completion.finish_reason, completion.stop_reason) == (second, "stop", None)
        assert second != eos

    def test_special_tokens_are_left_out_unless_they_are_asked_for(self, llm, monkeypatch):
        first = ask(llm).outputs[0].token_ids[0]
        monkeypatch.setattr(llm.ocr.tokenizer, "special_ids", frozenset({first}))
        shown, hidden = (ask(llm, skip_special_tokens=skip).outputs[0] for skip in (False, True))
        kept = [index for index in shown.token_ids if index != first]
        assert hidden.text == llm.ocr.tokenizer.decode(kept) != shown.text
        assert hidden.token_ids == shown.token_ids

    def test_a_seed_draws_the_same_again(self, llm):
        drawn = [ask(llm, temperature=1.0, top_p=0.9, seed=seed).outputs for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]

    def test_unknown_arguments_are_named_in_one_warning(self, llm, checkpoint):
        with pytest.warns(UserWarning, match=r"LLM does not know and leaves aside: colour, flavour$"):
            LLM(checkpoint, mode="tiny", flavour=1, gpu_memory_utilization=0.9, colour=2)
        with pytest.warns(UserWarning, match=r"SamplingParams .*: beam, n$"):
            SamplingParams(n=2, extra_args={"beam": 1})
        with pytest.warns(UserWarning, match=r"generate .*: lora_request$"):
            llm.generate([], lora_request=None)
        with pytest.warns(UserWarning, match=r"AutoModel.from_pretrained .*: flavour$"):
            AutoModel.from_pretrained(checkpoint, flavour=1)

    @pytest.mark.parametrize(
        ("prompt", "match"),
        [
            ({"prompt": "Hello", "multi_modal_data": {"image": PAGE}}, "write one for each"),
            ({"prompt": FREE}, "write one for each"),
            ({"prompt_token_ids": [0, 1]}, "is no prompt"),
            ("", "is no prompt"),
            ({"prompt": FREE, "multi_modal_data": {"video": PAGE}}, "multi_modal_data"),
            ({"prompt": FREE, "multi_modal_data": {"image": 7}}, "no source of pages"),
            ("word " * 9000, "the model holds"),
        ],
    )
    def test_a_prompt_that_cannot_be_read_is_a_mistake(self, llm, prompt, match):
        with pytest.raises(InputError, match=match):
            llm.generate(["Hello", prompt], greedy())

    @pytest.mark.parametrize(
        ("wrong", "match"),
        [
            ({"temperature": -1.0}, "temperature"),
            ({"max_tokens": 0}, "max_tokens"),
            ({"extra_args": {"ngram_size": "30"}}, "ngram_size"),
            ({"extra_args": {"ngram_size": 0}}, "ngram_size"),
            ({"extra_args": {"ngram_size": 3, "window_size": 1.5}}, "window_size"),
        ],
    )
    def test_a_value_out_of_range_is_a_mistake_at_once(self, wrong, match):
        with pytest.raises(InputError, match=match):
            SamplingParams(**wrong)

    def test_other_mistakes_are_mistakes(self, llm, checkpoint):
        with pytest.raises(InputError, match="known: tiny"):
            LLM(checkpoint, mode="huge")
        with pytest.raises(InputError, match="known: NGramPerReqLogitsProcessor"):
            LLM(checkpoint, logits_processors=[print])
        with pytest.raises(InputError, match="2 sampling_params for 1 prompts"):
            llm.generate("Hello", [greedy(), greedy()])
