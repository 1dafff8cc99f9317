"""Whether a running vLLM writes what dsocr writes, token by token: the same checkpoint, pages and prompts, in float32.

    python benchmarks/peers/vllm_reads.py make           # a checkpoint in runs/peers/vllm/, and how vLLM is started
    python benchmarks/peers/vllm_reads.py compare        # with that vLLM at --engine http://127.0.0.1:8000/v1

The checkpoint has the released encoder and the first layers of the released decoder, with the weight recipe's noise in
them, and nano's tokenizer: it writes nonsense, and any difference soon shows. 1.8 GB.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

import dsocr
from dsocr.engine.request import Sampling
from dsocr.model.released import RELEASED
from dsocr.model.tokenizer import Tokenizer
from dsocr.model.weights import save_network
from dsocr.ocr import Options
from dsocr.reading import Reading
from dsocr.remote import RemoteReader, connect

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))
from recipe_weights import drawn_network

REPOSITORY = Path(__file__).resolve().parents[2]
FOLDER = REPOSITORY / "runs" / "peers" / "vllm"
NANO = Path(dsocr.__file__).with_name("nano")
LAYERS, TOKENS = 3, 100
# What vLLM asks a config.json for, and the published one has; dsocr knows one kind of attention, projector and layout.
ATTENTION = {"kv_lora_rank": None, "q_lora_rank": None} | dict.fromkeys(
    ("qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim"), 0
)
AROUND = {
    "architectures": ["DeepseekOCRForCausalLM"],
    "model_type": "deepseek_vl_v2",
    "projector_config": {"input_dim": 2048, "n_embed": 1280, "projector_type": "linear"},
    "candidate_resolutions": [[1024, 1024]],
    "global_view_pos": "head",
    "tile_tag": "2D",
}
START = """VLLM_CPU_KVCACHE_SPACE=1 vllm serve {folder} --dtype float32 --max-model-len 4096 --enforce-eager \\
  --logits-processors vllm.model_executor.models.deepseek_ocr:NGramPerReqLogitsProcessor \\
  --no-enable-prefix-caching --mm-processor-cache-gb 0 --host 127.0.0.1 --port 8000"""


def make() -> None:
    """Write the checkpoint."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    tokenizer = Tokenizer(NANO / "tokenizer.json")
    decoder = {key: value for key, value in RELEASED.items() if key != "vision_config"}
    decoder |= {"vocab_size": len(tokenizer), "num_hidden_layers": LAYERS, **ATTENTION}
    config = RELEASED | decoder | AROUND | {"language_config": decoder}
    save_network(drawn_network(config, tokenizer.image), FOLDER / "model.safetensors")
    (FOLDER / "config.json").write_text(json.dumps(config, indent=1))
    (FOLDER / "tokenizer.json").write_bytes((NANO / "tokenizer.json").read_bytes())
    special = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<｜begin▁of▁sentence｜>"}  # noqa: RUF001
    special |= {"eos_token": "<｜end▁of▁sentence｜>", "pad_token": "<｜▁pad▁｜>"}  # noqa: RUF001
    (FOLDER / "tokenizer_config.json").write_text(json.dumps(special))
    print(START.format(folder=FOLDER))


def compare(engine: str, pages: list[Image.Image]) -> bool:
    """Read the pages there and here; whether all is the same."""
    here, there = dsocr.load(str(FOLDER), dtype="float32"), connect([engine])
    same = True
    for page in pages:
        for prompt in ("document", "free"):
            options = Options(prompt=prompt, sampling=Sampling(max_tokens=TOKENS), loops="keep")
            ours, theirs = (_raw(reader, page, options) for reader in (here, there))
            places = here.views(page, options.mode).layout
            at = next((place for place, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), None)
            print(f"{page.width} x {page.height}, {len(places)} places, {prompt}: ", end="")
            print(f"the same {TOKENS} tokens" if at is None else f"differs at character {at} of {len(ours)}")
            same = same and at is None
    return same


def _raw(reader: dsocr.OCR | RemoteReader, page: Image.Image, options: Options) -> str:
    """What was written. Where the limit cuts a character in two, only one side shows a mark for its half."""
    (transcript,) = [step.transcript() for step in reader.readings_of([page], options) if isinstance(step, Reading)]
    return transcript.raw.removesuffix("\N{REPLACEMENT CHARACTER}")


def drawn(width: int, height: int) -> Image.Image:
    """A page of print."""
    words = (REPOSITORY / "benchmarks" / "prose.txt").read_text(encoding="utf-8").split()
    font = ImageFont.load_default(24)
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    for line in range((height - 80) // 34):
        draw.text((40, 40 + 34 * line), " ".join(words[8 * line : 8 * line + 8]), font=font, fill="black")
    return image


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("do", choices=("make", "compare"))
    parser.add_argument("--engine", default="http://127.0.0.1:8000/v1")
    parser.add_argument("--pages", nargs="*", type=Path, default=[])
    asked = parser.parse_args()
    if asked.do == "make":
        make()
        return 0
    pages = [Image.open(path) for path in asked.pages] or [drawn(640, 480), drawn(1240, 1754), drawn(1300, 700)]
    return 0 if compare(asked.engine, pages) else 1


if __name__ == "__main__":
    sys.exit(main())
