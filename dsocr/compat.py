"""Two thin doors for scripts written for others: the published `model.infer(...)`, and vLLM's `LLM(...).generate`."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

import torch

from dsocr.document import FAILED, OK, Transcript, crop_figures, to_markdown, to_picture
from dsocr.engine.request import Delta, Request, Sampling
from dsocr.errors import FileAccessError, InputError
from dsocr.model.checkpoint import find_checkpoint
from dsocr.model.tokenizer import Tokenizer
from dsocr.ocr import DEFAULT_MODE, OCR, Options, Reading, load
from dsocr.pages import BrokenPage, Mode, Page, Source, get_mode, open_pages
from dsocr.pages.tiling import make_views
from dsocr.prompts import labels_are_text
from dsocr.reading import tokens_on_page
from dsocr.views import Views

# Arguments that say how transformers or vLLM should go about it; what is read does not depend on them.
_HOW = (
    "_attn_implementation attn_implementation trust_remote_code use_safetensors use_fast low_cpu_mem_usage "
    "tokenizer tokenizer_mode hf_overrides load_format seed enforce_eager enable_prefix_caching "
    "enable_chunked_prefill disable_log_stats mm_processor_cache_gb disable_mm_preprocessor_cache "
    "limit_mm_per_prompt gpu_memory_utilization block_size swap_space cpu_offload_gb max_model_len max_num_seqs "
    "max_num_batched_tokens tensor_parallel_size"
)
_SIDES = range(512, 1281, 64)  # pixels: what the checkpoint was trained on and the steps between


class AutoTokenizer:
    """Stands where a script imports AutoTokenizer from transformers."""

    @staticmethod
    def from_pretrained(name: str | Path, **others: object) -> Tokenizer:
        """The checkpoint's tokenizer; `name` is nano, a folder or a hub name. Raises InputError."""
        _warn_of("AutoTokenizer.from_pretrained", others)
        return Tokenizer(find_checkpoint(str(name)) / "tokenizer.json")


class AutoModel:
    """Stands where a script imports AutoModel from transformers."""

    @staticmethod
    def from_pretrained(
        name: str | Path,
        *,
        torch_dtype: torch.dtype | str = "auto",
        device_map: torch.device | str | int = "cpu",
        **others: object,
    ) -> InferModel:
        """The checkpoint, found or downloaded now and loaded when it is first used. Raises InputError."""
        _warn_of("AutoModel.from_pretrained", others)
        return InferModel(find_checkpoint(str(name)), _dtype_name(torch_dtype)).to(device_map)


class InferModel:
    """A checkpoint with the published `infer`; its methods can be chained as those of a torch module."""

    def __init__(self, folder: Path, dtype: str = "auto") -> None:
        """A checkpoint's folder and a dtype as `dsocr.load` takes it; it is on the CPU until it is moved."""
        self._folder, self._dtype, self._device = folder, dtype, "cpu"

    @cached_property
    def ocr(self) -> OCR:
        """The reader itself, loaded where and as `to` said last; InputError for a device or dtype it cannot have."""
        return load(self._folder, self._device, self._dtype)

    def eval(self) -> InferModel:
        """Itself: it does nothing but read."""
        return self

    def cuda(self, device: torch.device | str | int | None = None) -> InferModel:
        """Itself on a CUDA device; where there is none it stays, with a warning."""
        return self.to("cuda" if device is None else device)

    def to(
        self,
        *wanted: torch.device | torch.dtype | str | int | None,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> InferModel:
        """Itself on a device, in a dtype, or both."""
        for asked in (*wanted, device, dtype):
            if isinstance(asked, torch.dtype):
                self._dtype = _dtype_name(asked)
            elif asked is not None:
                self._device = self._present(asked)
        self.__dict__.pop("ocr", None)  # loaded anew: a network in another dtype is best made from its file
        return self

    def infer(
        self,
        tokenizer: object,
        prompt: str = "",
        image_file: Source = "",
        output_path: str | Path = "",
        base_size: int = 1024,
        image_size: int = 640,
        crop_mode: bool = True,
        test_compress: bool = False,
        save_results: bool = False,
        eval_mode: bool = False,
    ) -> str:
        """What the model writes about one picture, its tags included; printed as it comes unless eval_mode is set.

        tokenizer is for the call's shape only, the checkpoint knows its own. base_size and image_size are the
        sides in pixels of the overview and of a tile; without crop_mode, image_size is that of the only view.
        test_compress prints what the page cost in tokens. save_results writes result.mmd, result_with_boxes.jpg
        and images/ into output_path. Raises InputError for what cannot be read, FileAccessError for what cannot
        be written.
        """
        mode, asked = _mode(base_size, image_size, crop_mode), Options(prompt=prompt).full_prompt()
        folder = _folder(output_path, save_results)
        page = _only_page(image_file)
        views = make_views(page.image, mode)
        # The published call bans n-grams of 35 ids where it is measured, and of 20 where it is shown.
        sampling = Sampling(ngram_rule="huggingface", ngram_size=35 if eval_mode else 20)
        request = self.ocr.request(asked, (views,), sampling)
        reading = Reading(page, self.ocr.engine.stream(request), labels_are_text(asked))
        for delta in reading:
            if not eval_mode:
                print(delta.text, end="\n" if delta.finish_reason else "", flush=True)
        transcript = reading.transcript()
        if transcript.status == FAILED:
            raise InputError(f"{page.source}: {transcript.reason}")
        if test_compress:
            _print_compression(transcript, tokens_on_page(page.size, views.layout, mode), self.ocr.tokenizer)
        if save_results:
            _save(folder, transcript)
        return transcript.raw.strip()

    def _present(self, device: torch.device | str | int) -> str:
        name = f"cuda:{device}" if isinstance(device, int) else str(device)
        if name.startswith("cuda") and not torch.cuda.is_available():
            warnings.warn(f"there is no CUDA on this machine: the model stays on {self._device}", stacklevel=4)
            return self._device
        return name


class NGramPerReqLogitsProcessor:
    """Named in `LLM(logits_processors=[…])`, it lets the extra_args of SamplingParams ban repeated n-grams."""


class SamplingParams:
    """How the next token is chosen, with vLLM's names and defaults.

    Mind two defaults: only 16 tokens, and special tokens - the tags around boxes are such - left out of the text.
    """

    def __init__(
        self,
        *,
        temperature: float = 1.0,
        top_p: float = 1.0,
        max_tokens: int | None = 16,
        seed: int | None = None,
        stop: str | Sequence[str] | None = None,
        extra_args: Mapping[str, Any] | None = None,
        skip_special_tokens: bool = True,
        **others: object,
    ) -> None:
        """extra_args: ngram_size, window_size (100), whitelist_token_ids. InputError for a value out of range."""
        self.temperature, self.top_p, self.max_tokens, self.seed = temperature, top_p, max_tokens, seed
        self.stop = (stop,) if isinstance(stop, str) else tuple(stop or ())
        self.extra_args = dict(extra_args or {})
        self.skip_special_tokens = skip_special_tokens
        known = {"ngram_size", "window_size", "whitelist_token_ids"}
        _warn_of("SamplingParams", {*others, *self.extra_args} - known)
        self.sampling(bans=True)  # a mistake shows here, before a model is loaded

    def sampling(self, *, bans: bool) -> Sampling:
        """The same as a Sampling; without `bans`, or without an ngram_size, every n-gram may be repeated."""
        plain = Sampling(self.max_tokens, self.temperature, self.top_p, self.seed, ngram_rule="none", stop=self.stop)
        size, window = self.extra_args.get("ngram_size"), self.extra_args.get("window_size", 100)
        if size is None or not bans:
            return plain
        for name, value in (("ngram_size", size), ("window_size", window)):
            if not isinstance(value, int):
                raise InputError(f"{name} is {value!r}; it must be a whole number")
        spared = frozenset(self.extra_args.get("whitelist_token_ids") or ())
        return replace(plain, ngram_rule="windowed", ngram_size=size, ngram_window=window, whitelist=spared)


@dataclass(frozen=True)
class CompletionOutput:
    """One answer: its text, its ids with the end of text where the model wrote one, and why it ended.

    finish_reason is stop or length; stop_reason is the stop text that ended it, None where none did.
    """

    index: int
    text: str
    token_ids: list[int]
    finish_reason: str
    stop_reason: str | None = None


@dataclass(frozen=True)
class RequestOutput:
    """One prompt, its ids with all image places, and the one answer to it."""

    request_id: str
    prompt: str
    prompt_token_ids: list[int]
    outputs: list[CompletionOutput]
    finished: bool = True


Prompt: TypeAlias = "str | Mapping[str, Any]"


class LLM:
    """A checkpoint that answers many prompts in one call."""

    def __init__(
        self,
        model: str | Path,
        *,
        mode: str = DEFAULT_MODE,
        device: str = "auto",
        dtype: torch.dtype | str = "auto",
        logits_processors: Sequence[type | str] | None = None,
        **others: object,
    ) -> None:
        """model, device and dtype as in `dsocr.load`, mode one of dsocr.MODES. Raises InputError."""
        _warn_of("LLM", others)
        self._mode = get_mode(mode)
        self._bans = bool([_check_processor(processor) for processor in logits_processors or ()])
        self._requests = 0
        self.ocr = load(model, device, _dtype_name(dtype))

    def generate(
        self,
        prompts: Prompt | Sequence[Prompt],
        sampling_params: SamplingParams | Sequence[SamplingParams] | None = None,
        use_tqdm: bool = False,
        **others: object,
    ) -> list[RequestOutput]:
        """One output for each prompt, in their order.

        A prompt is a text, or {"prompt": text, "multi_modal_data": {"image": one picture or a list}} with one
        `<image>` in the text for each picture. sampling_params: one for all, or as many as there are prompts; one
        without a seed gives each prompt its own. Raises InputError before anything is read when a prompt cannot be.
        """
        _warn_of("LLM.generate", others)
        asked = [prompts] if isinstance(prompts, (str, Mapping)) else list(prompts)
        params = self._params(sampling_params, len(asked))
        texts = [_text_of(prompt) for prompt in asked]
        requests = [
            self.ocr.request(text, self._views(prompt), one.sampling(bans=self._bans))
            for text, prompt, one in zip(texts, asked, params, strict=True)
        ]
        streams = [self.ocr.engine.stream(request) for request in requests]
        return [self._output(*parts) for parts in zip(texts, requests, params, streams, strict=True)]

    def _params(self, given: SamplingParams | Sequence[SamplingParams] | None, count: int) -> list[SamplingParams]:
        if given is None or isinstance(given, SamplingParams):
            return [given or SamplingParams()] * count
        if len(given) != count:
            raise InputError(f"there are {len(given)} sampling_params for {count} prompts: give one, or one for each")
        return list(given)

    def _views(self, prompt: Prompt) -> tuple[Views, ...]:
        pictures = _pictures_of(prompt)
        return tuple(make_views(_only_page(picture).image, self._mode) for picture in pictures)

    def _output(self, text: str, request: Request, params: SamplingParams, stream: Iterable[Delta]) -> RequestOutput:
        deltas, tokenizer, number = list(stream), self.ocr.tokenizer, self._requests
        self._requests += 1
        ids = [index for delta in deltas for index in delta.ids]
        said = "".join(delta.text for delta in deltas)
        ended, stop = deltas[-1].finish_reason == "stop", deltas[-1].stop_text
        if params.skip_special_tokens:
            said = tokenizer.decode(ids, skip_special=True)
            said = said.partition(stop)[0] if stop else said
        ids += [tokenizer.eos] if ended and stop is None else []
        completion = CompletionOutput(0, said, ids, "stop" if ended else "length", stop)
        return RequestOutput(str(number), text, list(request.ids), [completion])


def _only_page(source: Source) -> Page:
    pages = open_pages(source)
    page = next(pages)
    if isinstance(page, BrokenPage) or next(pages, None) is not None:
        raise InputError(f"{page.source} has several pages, this call reads one; dsocr.load(…).read(…) reads them all")
    return page


def _mode(base_size: int, image_size: int, crop_mode: bool) -> Mode:
    """The mode that three published arguments stand for; some have no name here."""
    for name, side in (("base_size", base_size), ("image_size", image_size)):
        if side not in _SIDES:
            raise InputError(
                f"{name} is {side!r}; it must be a multiple of 64 from 512 to 1280, such as 512 (tiny), 640 (small), "
                "1024 (base), 1280 (large), or with crop_mode 1024 and 640 (gundam), 1280 and 1024 (gundam-m)"
            )
    name = f"{base_size}/{image_size}"
    if crop_mode:
        return replace(get_mode("gundam"), name=name, overview_px=base_size, tile_px=image_size)
    # published quirk: without tiles the one view has image_size, and base_size is not looked at.
    return replace(get_mode("small" if image_size <= 640 else "base"), name=name, overview_px=image_size)


def _print_compression(transcript: Transcript, valid: int, tokenizer: Tokenizer) -> None:
    written = len(tokenizer.encode(transcript.raw)) + (transcript.status == OK)  # the end of text counts
    print(f"image size:  {transcript.width, transcript.height}")
    print(f"valid image tokens:  {valid}")
    print(f"output texts tokens (valid):  {written}")
    print(f"compression ratio:  {round(written / max(1, valid), 2)}")


def _folder(output_path: str | Path, needed: bool) -> Path:
    """The folder for results, made with its images/ where one is named."""
    folder = Path(output_path)
    if output_path:
        try:
            (folder / "images").mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _refused(folder, error) from error
    elif needed:
        raise InputError("save_results needs an output_path: name a folder")
    return folder


def _save(folder: Path, transcript: Transcript) -> None:
    markdown = to_markdown(transcript)
    try:
        for number, (name, figure) in enumerate(crop_figures(transcript)):
            figure.save(folder / "images" / f"{number}.jpg", quality=95)
            # The published names count figures only: a picture has no page number.
            markdown = markdown.replace(f"](images/{name})", f"](images/{number}.jpg)")
        to_picture(transcript).save(folder / "result_with_boxes.jpg", quality=95)
        (folder / "result.mmd").write_bytes(markdown.encode("utf-8", "replace"))
    except OSError as error:
        raise _refused(folder, error) from error


def _refused(folder: Path, error: OSError) -> FileAccessError:
    return FileAccessError(f"{folder}: cannot be written ({error.strerror or error})")


def _text_of(prompt: Prompt) -> str:
    text = prompt.get("prompt") if isinstance(prompt, Mapping) else prompt
    if not isinstance(text, str) or not text:
        raise InputError(f'{prompt!r} is no prompt: give a text, or {{"prompt": …, "multi_modal_data": …}} with one')
    return text


def _pictures_of(prompt: Prompt) -> list[Source]:
    data = prompt.get("multi_modal_data") or {} if isinstance(prompt, Mapping) else {}
    if not isinstance(data, Mapping) or data.keys() - {"image"}:
        raise InputError(f'multi_modal_data is {data!r}; it must be {{"image": one picture or a list of them}}')
    pictures = data.get("image", [])
    return list(pictures) if isinstance(pictures, (list, tuple)) else [pictures]


def _check_processor(processor: type | str) -> type | str:
    name = processor.rpartition(":")[2] if isinstance(processor, str) else getattr(processor, "__name__", "")
    if name != NGramPerReqLogitsProcessor.__name__:
        raise InputError(f"logits processor {processor!r} is unknown; known: {NGramPerReqLogitsProcessor.__name__}")
    return processor


def _dtype_name(dtype: torch.dtype | str) -> str:
    return str(dtype).removeprefix("torch.")


def _warn_of(call: str, names: Iterable[str]) -> None:
    """One warning for the arguments that a call leaves aside."""
    if unknown := sorted(set(names).difference(_HOW.split())):
        warnings.warn(f"{call} does not know and leaves aside: {', '.join(unknown)}", stacklevel=3)
