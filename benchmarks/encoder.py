"""How long one view takes in the encoder of the released size (random weights), plain and fast.

    python benchmarks/encoder.py --views 640 1024 --threads 1 --rounds 5

The forms take turns within each round, so that a busy neighbour slows all of them; the best round counts. With one
thread, seconds are of processor time: what others take of a shared machine is not counted.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from dsocr.kernels import library, limits
from dsocr.model.config import parse_config
from dsocr.model.deep_encoder import DeepEncoder
from dsocr.model.fast_encoder import speed_up_encoder
from dsocr.model.released import RELEASED

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def released_encoder() -> DeepEncoder:
    """float32, norms as they begin, the rest drawn so that numbers keep their size from layer to layer."""
    with torch.device("meta"):
        encoder = DeepEncoder(parse_config(RELEASED))
    generator = torch.Generator().manual_seed(0)
    for name, meta in list(encoder.named_parameters()):
        if "norm" in name:
            drawn = torch.full(meta.shape, float(name.endswith("weight")))
        else:
            drawn = torch.randn(meta.shape, generator=generator) * (meta[0].numel() ** -0.5 if meta.ndim > 1 else 0.02)
        part, _, own = name.rpartition(".")
        setattr(encoder.get_submodule(part), own, nn.Parameter(drawn, requires_grad=False))
    return encoder.eval()


def copied(encoder: DeepEncoder, dtype: torch.dtype) -> DeepEncoder:
    with torch.device("meta"):
        copy = DeepEncoder(parse_config(RELEASED))
    copy.load_state_dict({name: each.to(dtype) for name, each in encoder.state_dict().items()}, assign=True)
    return copy.eval().requires_grad_(False)


def operations(side: int) -> int:
    """Of one view, counted over the plain network: a multiply-add is two."""
    with torch.device("meta"), FlopCounterMode(display=False) as counter:
        DeepEncoder(parse_config(RELEASED))(torch.empty(1, 3, side, side))
    return counter.get_total_flops()


def seconds(work: Callable[[], object]) -> float:
    # Threads that wait for each other spin, which counts as work: with several of them only the wall clock tells.
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


def compare(forms: dict[str, DeepEncoder], side: int, rounds: int) -> None:
    threads = torch.get_num_threads()
    pixels = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(1)) * 2 - 1
    shown = {name: pixels.to(encoder.newline.dtype) for name, encoder in forms.items()}
    exact: Tensor = forms["float32"](pixels)
    errors = {name: float((forms[name](shown[name]).float() - exact).norm() / exact.norm()) for name in forms}
    times: dict[str, list[float]] = {name: [] for name in forms}
    ceilings: dict[torch.dtype, float] = {}
    for _ in range(rounds):
        for dtype, limit in zip(DTYPES.values(), (limits.fp32, limits.bf16), strict=True):
            ceilings[dtype] = max(ceilings.get(dtype, 0.0), limit(threads) or float("nan"))
        for name, encoder in forms.items():
            times[name].append(seconds(lambda encoder=encoder, name=name: encoder(shown[name])))
    work, best = operations(side), {name: min(each) for name, each in times.items()}
    told = ", ".join(f"{str(dtype).removeprefix('torch.')} {most / 1e9:.0f}" for dtype, most in ceilings.items())
    print(f"\none view of {side}x{side} on {threads} threads: {work / 1e9:.0f} GFLOP; ceilings: {told} GFLOP/s\n")
    print("| form | seconds | against float32 | GFLOP/s | of its ceiling | relative error |\n|---|---|---|---|---|---|")
    for name, least in best.items():
        rate = work / least
        faster, share = best["float32"] / least, rate / ceilings[forms[name].newline.dtype]
        print(f"| {name} | {least:.2f} | {faster:.2f} x | {rate / 1e9:.0f} | {share:.0%} | {errors[name]:.1e} |")


@torch.inference_mode()
def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--views", type=int, nargs="+", default=[640, 1024])
    arguments.add_argument("--dtypes", nargs="+", choices=list(DTYPES), default=list(DTYPES))
    arguments.add_argument("--threads", type=int, default=1)
    arguments.add_argument("--rounds", type=int, default=5)
    given = arguments.parse_args()
    torch.set_num_threads(given.threads)
    plain = released_encoder()
    print(f"torch {torch.__version__}, core {library.level()}")
    forms = {"float32": plain}  # which all are measured against
    for name in given.dtypes:
        fast = copied(plain, DTYPES[name])
        forms.setdefault(name, copied(plain, DTYPES[name]))
        if speed_up_encoder(fast):
            forms[f"{name}, fast"] = fast
        else:
            print(f"no fast encoder in {name} here: it wants `python -m dsocr.kernels.build` and instructions for it")
    for side in given.views:
        compare(forms, side, given.rounds)


if __name__ == "__main__":
    main()
