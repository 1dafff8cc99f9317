"""Looks whether this machine can read pages - packages, device, checkpoint, a trial - and what to do where it can't."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dsocr.errors import InputError
from dsocr.version import __version__

if TYPE_CHECKING:
    from PIL import Image

State = Literal["fine", "note", "trouble"]
TRIAL = "This machine can read pages."
_ALIKE = 0.7  # of the trial's characters; a nano that works has nine tenths of them, a broken one has noise
_REQUIRED = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(?:>=(?P<least>[0-9.]+))?")
_EXTRA = re.compile(r"extra == [\"'](?P<extra>[a-z]+)[\"']")
_PYTHON = re.compile(r"python_version\s*(?P<sign><|>=)\s*[\"'](?P<version>[0-9.]+)[\"']")
_HUB_NAME = re.compile(r"[\w-][\w.-]*/[\w.-]+")
_MANY = 3  # faults of a checkpoint that are told; there may be hundreds


@dataclass(frozen=True)
class Check:
    """One thing that was looked at: what was found, and what to do where that is no good."""

    name: str
    state: State
    found: str
    advice: str | None = None


@dataclass(frozen=True)
class Wishes:
    """What reading is to be done with, as `dsocr read` takes it; model None: what that would take."""

    model: str | None = None
    device: str = "auto"
    dtype: str = "auto"


def examine(wishes: Wishes = Wishes()) -> Iterator[Check]:
    """All checks, each as it is done; the trial may take a minute. Nothing is downloaded, and nothing is written."""
    for check in (_packages, _extras, _device, _core, _checkpoint, _memory, _trial):
        yield _safely(check, wishes)


# What each check needs is imported in it: that it cannot be is what a person comes here to be told.


def _safely(check: Callable[[Wishes], Check], wishes: Wishes) -> Check:
    name = check.__name__.strip("_")
    try:
        return check(wishes)
    except InputError as error:
        return Check(name, "trouble", str(error), _way_out(name, wishes))
    except ImportError as error:
        why = f"{error.name or 'a package'} cannot be imported ({error})"
        return Check(name, "trouble", why, "install it anew: pip install --force-reinstall dsocr")
    except (OSError, RuntimeError, MemoryError) as error:
        return Check(name, "trouble", " ".join(str(error).split())[:200] or type(error).__name__)


def _way_out(check: str, wishes: Wishes) -> str:
    """What to do about what was asked for and cannot be had."""
    if check == "device":
        return "leave --device and --dtype out, or give known ones; CUDA needs a torch for it: https://pytorch.org"
    return _anew(wishes) if check == "checkpoint" else "mend first what stands above"


def _packages(_: Wishes) -> Check:
    """The packages that everything needs."""
    found, wrong = [f"dsocr {__version__}", f"Python {platform.python_version()}"], []
    for name, least in _required(extra=None):
        there = _version(name)
        found.append(f"{name} {there or 'missing'}")
        if there is None or _numbers(there) < _numbers(least):
            wrong.append(f"{name}>={least}" if least else name)
    advice = f"pip install {' '.join(repr(each) for each in wrong)}" if wrong else None
    return Check("packages", "trouble" if wrong else "fine", ", ".join(found), advice)


def _extras(_: Wishes) -> Check:
    """Packages that only some things need."""
    names = {extra for line in _requires() if (extra := _extra_of(line)) and extra != "dev"}
    missing = sorted(name for name in names if not all(_version(each) for each, _ in _required(name)))
    there = ", ".join(sorted(names - set(missing))) or "none"
    if not missing:
        return Check("extras", "fine", there)
    return Check(
        "extras", "note", f"{there}; not installed: {', '.join(missing)}", f"pip install 'dsocr[{missing[0]}]'"
    )


def _device(wishes: Wishes) -> Check:
    """What the network is computed on, tried with a small product."""
    import torch

    from dsocr.ocr import check_dtype, choose_device

    device = choose_device(wishes.device)
    check_dtype(wishes.dtype)
    half = torch.ones(64, 64, device=device, dtype=torch.float32 if device.type == "cpu" else torch.float16)
    if float((half @ half)[0, 0]) != 64:
        return Check("device", "trouble", f"{device} computes wrongly", "use --device cpu, and look after the driver")
    if device.type == "cuda":
        kind = torch.cuda.get_device_name(device)
        bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
        return Check(
            "device", "fine", f"cuda, {kind}, torch {torch.__version__}, {'bfloat16' if bfloat16 else 'float16'}"
        )
    if device.type == "mps":
        return Check("device", "fine", "mps, float16")
    found = f"cpu, {os.cpu_count()} cores, {torch.get_num_threads()} threads"
    if shutil.which("nvidia-smi") and wishes.device == "auto":
        return Check(
            "device", "note", f"{found}; a GPU is there, and this torch cannot use it", "install torch for CUDA"
        )
    return Check("device", "fine", found)


def _core(_: Wishes) -> Check:
    """The compiled core, which makes a CPU fast."""
    from dsocr.kernels.library import level

    found = level()
    if found:
        return Check("core", "fine", f"compiled for {found}")
    return Check("core", "note", "not compiled: plain PyTorch, slower on a CPU", "python -m dsocr.kernels.build")


def _checkpoint(wishes: Wishes) -> Check:
    """Whether the checkpoint is here and whole: names, shapes and sizes against its config.json, without loading it."""
    from dsocr.engine.kv_cache import show_bytes
    from dsocr.model.tokenizer import Tokenizer
    from dsocr.model.weights import stored_bytes

    folder = _folder(wishes)
    faults = shape_faults(folder)
    if faults:
        more = f", and {len(faults) - _MANY} more" if len(faults) > _MANY else ""
        return Check("checkpoint", "trouble", f"{folder}: {'; '.join(faults[:_MANY])}{more}", _anew(wishes))
    Tokenizer(folder / "tokenizer.json")
    return Check("checkpoint", "fine", f"{_name(wishes)} in {folder}, whole, {show_bytes(stored_bytes(folder))}")


def shape_faults(folder: Path) -> list[str]:
    """What is missing, surplus or of another shape in a checkpoint; only the head of each file is read.

    InputError for one that is cut short or no checkpoint at all.
    """
    from safetensors import SafetensorError, safe_open

    from dsocr.model.config import read_config
    from dsocr.model.weights import published_shapes, weight_files

    wanted, found = published_shapes(read_config(folder)), dict[str, tuple[int, ...]]()
    for path in weight_files(folder):
        try:
            with safe_open(path, framework="numpy") as file:
                found |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
        except (SafetensorError, OSError) as error:
            raise InputError(f"{path} is not whole ({error}): copy or download it again") from None
    faults = [f"missing {name}" for name in wanted if name not in found]
    faults += [f"surplus {name}" for name in found if name not in wanted]
    return faults + [
        f"{name} is {list(found[name])}, not {list(shape)}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]


def _memory(wishes: Wishes) -> Check:
    """Whether the weights and the text of one page have room."""
    import torch

    from dsocr.engine.kv_cache import block_bytes, blocks_for, show_bytes
    from dsocr.kernels.memory import available_memory
    from dsocr.model.config import read_config
    from dsocr.model.weights import stored_bytes
    from dsocr.ocr import check_dtype, choose_device, choose_dtype, describe_dtype

    check_dtype(wishes.dtype)
    folder, device = _folder(wishes), choose_device(wishes.device)
    kept = choose_dtype(wishes.dtype if wishes.dtype not in ("int8", "int4") else "auto", device, folder)
    decoder = read_config(folder).decoder
    weights = stored_bytes(folder) * (kept.itemsize // 2 if kept else 1)  # which are stored in bfloat16
    shape = decoder.layers, decoder.kv_heads, decoder.head_dim
    page = blocks_for(decoder.max_positions) * block_bytes(*shape, kept or torch.bfloat16)
    free = available_memory(device)
    found = f"{show_bytes(free)} free on {device}; weights {show_bytes(weights)}, one page up to {show_bytes(page)}"
    found += f", {describe_dtype(kept, device)}"
    if weights + page <= free:
        return Check("memory", "fine", found)
    if device.type == "cpu" and kept is None and page < free:
        return Check(
            "memory", "note", f"{found}: the weights do not fit at once, and are read from disk again and again"
        )
    return Check("memory", "trouble", found, "use --dtype int8, --device cpu, or end what else takes memory")


def _trial(wishes: Wishes) -> Check:
    """nano reads a page that is drawn here."""
    from dsocr.document import OK, TRUNCATED
    from dsocr.engine.request import Sampling
    from dsocr.ocr import load

    began = time.perf_counter()
    sampling = Sampling(len(TRIAL))  # each of nano's tokens is a byte
    nano = load("nano", wishes.device, wishes.dtype)
    (page,) = nano.read(draw_trial(), prompt="free", sampling=sampling).transcripts
    seconds = time.perf_counter() - began
    likeness = SequenceMatcher(None, TRIAL, page.raw, autojunk=False).ratio()
    found = f"nano read a drawn page in {seconds:.1f} s, {likeness:.0%} as it should be"
    if page.status not in (OK, TRUNCATED) or likeness < _ALIKE:
        advice = "use --device cpu or --dtype float32, and tell us what is said here"
        return Check("trial", "trouble", f"{found} ({page.reason or page.status}): {page.raw[:80]!r}", advice)
    return Check("trial", "fine", found)


def draw_trial() -> Image.Image:
    """A small page with the trial's text, in the font that Pillow brings along: none of this machine's is needed."""
    from PIL import Image, ImageDraw, ImageFont

    page = Image.new("RGB", (480, 100), "white")
    ImageDraw.Draw(page).text((24, 34), TRIAL, fill="black", font=ImageFont.load_default(30))
    return page


def _folder(wishes: Wishes) -> Path:
    """Where the checkpoint is; InputError where there is none, or where it would have to be downloaded first."""
    from dsocr.model.checkpoint import cached_checkpoint, find_checkpoint

    name = _name(wishes)
    if not _is_on_the_hub(name):
        return find_checkpoint(name)
    folder = cached_checkpoint(name)
    if folder is None:
        raise InputError(f"{name} is not on this machine, or not whole")
    return folder


def _name(wishes: Wishes) -> str:
    from dsocr.model.checkpoint import default_checkpoint

    return wishes.model or default_checkpoint()


def _anew(wishes: Wishes) -> str:
    name = _name(wishes)
    if _is_on_the_hub(name):
        return f"dsocr pull {name}"
    folder = os.path.expanduser(name)
    if name == "nano" or os.path.exists(os.path.join(folder, "config.json")):
        return "copy it here again"
    wanted = "the folder of a checkpoint" if os.path.isdir(folder) else "a folder that is here"
    return f"give {wanted} as --model, or leave it out"


def _is_on_the_hub(name: str) -> bool:
    """Whether a name can only be one of the hub."""
    return _HUB_NAME.fullmatch(name) is not None and not os.path.isdir(os.path.expanduser(name))


def _requires() -> list[str]:
    try:
        return importlib.metadata.requires("dsocr") or []
    except importlib.metadata.PackageNotFoundError:
        return []


def _required(extra: str | None) -> list[tuple[str, str]]:
    """Names and least versions of what the package needs with this Python, or one of its extras."""
    found = [_REQUIRED.match(line) for line in _requires() if _extra_of(line) == extra and _is_for_this_python(line)]
    return [(match["name"], match["least"] or "") for match in found if match]


def _extra_of(line: str) -> str | None:
    match = _EXTRA.search(line)
    return match["extra"] if match else None


def _is_for_this_python(line: str) -> bool:
    match = _PYTHON.search(line)
    if match is None:
        return True
    older = _numbers(platform.python_version()) < _numbers(match["version"])
    return older == (match["sign"] == "<")


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    """2.13.0+cpu → (2, 13, 0)."""
    return tuple(int(number) for number in re.findall(r"\d+", version.partition("+")[0])[:3])


def tell(check: Check) -> str:
    """A check as lines for people."""
    mark = {"fine": "ok  ", "note": "note", "trouble": "BAD "}[check.state]
    advice = f"\n     {'':11}→ {check.advice}" if check.advice else ""
    return f"{mark} {check.name:11}{check.found}{advice}"


def exit_code(checks: list[Check]) -> int:
    """0 where pages can be read, 1 where something is in the way."""
    return int(any(check.state == "trouble" for check in checks))
