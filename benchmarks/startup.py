"""From the command to the first token at the released size, and the most memory that one gundam page takes.

    python benchmarks/startup.py [--folder runs/released] [--rounds 3]

Writes a checkpoint of random weights once (6.7 GB), reads it into the page cache, and starts a new process for each
figure. Beside it stands what the published loader does before anything can be read: every tensor read from the file
and copied into a network that was built with memory of its own.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image, ImageDraw

_PUBLISHED_WAY = """
import sys, time
began = time.perf_counter()
import torch
from safetensors.torch import load_file
from dsocr.model.config import parse_config
from dsocr.model.network import Network
from dsocr.model.released import RELEASED, RELEASED_IMAGE_ID
from dsocr.model.weights import published_name
torch.set_default_dtype(torch.bfloat16)
network = Network(parse_config(RELEASED), RELEASED_IMAGE_ID)
tensors = load_file(sys.argv[1] + "/model.safetensors")
network.load_state_dict({name: tensors[published_name(name)] for name in network.state_dict()})
"""


def write_checkpoint(folder: Path) -> None:
    from dsocr.model.checkpoint import find_checkpoint
    from dsocr.model.released import RELEASED, random_network
    from dsocr.model.weights import save_network

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(RELEASED))
    # nano's tokenizer serves: its ids are among the released ones.
    (folder / "tokenizer.json").write_bytes((find_checkpoint("nano") / "tokenizer.json").read_bytes())
    save_network(random_network("bfloat16"), folder / "model.safetensors")


def draw_page(path: Path) -> None:
    page = Image.new("RGB", (1240, 1754), "white")  # A4 at 150 dpi
    ImageDraw.Draw(page).text((100, 100), "A page of print.", fill="black", font_size=40)
    page.save(path)


def warm(path: Path) -> int:
    """Bring a file into the page cache; gives its bytes."""
    with path.open("rb") as file:
        while file.read(1 << 24):
            pass
    return path.stat().st_size


def run(command: list[str]) -> float:
    """Seconds of a process of its own; that its one token was not the end of the text makes exit code 10."""
    began = time.perf_counter()
    code = subprocess.run(command, stdout=subprocess.DEVNULL).returncode
    assert code in (0, 10), code
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("runs/released"))
    parser.add_argument("--rounds", type=int, default=3)
    asked = parser.parse_args()
    if not asked.rounds:
        return write_checkpoint(asked.folder)
    if not (asked.folder / "model.safetensors").exists():  # by a process of its own, which takes its memory along
        subprocess.run([sys.executable, __file__, "--folder", str(asked.folder), "--rounds", "0"], check=True)
    draw_page(asked.folder / "page.png")
    read = [sys.executable, "-m", "dsocr", "read", str(asked.folder / "page.png"), "--model", str(asked.folder)]
    weights = warm(asked.folder / "model.safetensors") / 2**30
    best: dict[str, float] = {}
    for _ in range(asked.rounds):
        for name, command in {
            "tiny mode, one token": [*read, "--mode", "tiny", "--max-tokens", "1"],
            "the published way of loading": [sys.executable, "-c", _PUBLISHED_WAY, str(asked.folder)],
        }.items():
            best[name] = min(best.get(name, float("inf")), run(command))
    for name, seconds in best.items():
        print(f"{name}: {seconds:.1f} s")
    # Last, since the peak of all children counts; the published way alone is let out.
    gundam = [*read, "--mode", "gundam", "--max-tokens", "50"]
    peak = json.loads(subprocess.check_output([sys.executable, "-c", _PEAK, json.dumps(gundam)]))
    print(f"one gundam page, 50 tokens: peak {peak:.2f} GB, weights {weights:.2f} GB")


_PEAK = """
import json, resource, subprocess, sys
subprocess.run(json.loads(sys.argv[1]), stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20)
"""


if __name__ == "__main__":
    main()
