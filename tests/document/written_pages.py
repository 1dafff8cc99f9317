"""What the published code was given and what it wrote, and what else a model may write."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

from hypothesis import strategies as st
from PIL import Image

from dsocr.document import STATUSES, Block, Box, Transcript, parse
from dsocr.document.grounding import END_OF_TEXT

GOLDEN = Path(__file__).parents[1] / "golden"
PUBLISHED_PAGE = (600, 840)


def read_golden(case: str, name: str) -> str:
    return (GOLDEN / "post" / case / name).read_text(encoding="utf-8")


def transcript_of(raw: str, page: int = 1, size: tuple[int, int] = PUBLISHED_PAGE, **fields) -> Transcript:
    return Transcript(page, *size, raw=raw, blocks=parse(raw), **fields)


def cut_text(text: str, cuts: list[int]) -> list[str]:
    """The text in pieces, cut at those places that lie in it."""
    places = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    return [text[start:end] for start, end in pairwise(places)]


def published_page() -> Image.Image:
    return Image.open(GOLDEN / "post" / "page.png").convert("RGB")


FRAGMENTS = [
    *("<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>", END_OF_TEXT, "image", "text", "title"),
    *("[[1, 2, 300, 400]]", "[[10, 10, 20, 20], [30, 30, 999, 1200]]", "[[1, 2, 3]]", "[[nan, 1, 2, 3]]", "[", "]"),
    *("<|ref|>image<|/ref|><|det|>[[1, 2, 300, 400]]<|/det|>", "<|ref|>text<|/ref|><|det|>[[5, 5, 9, 9]]<|/det|>"),
    *(
        "\\coloneqq",
        "\\eqqcolon",
        "\\col",
        "eqq",
        "\\",
        "<",
        "<|",
        "|>",
        "<|re",
        END_OF_TEXT[:9],
        "\n",
        "\n\n",
        " ",
        "a",
        "-->",
    ),
    *("\ud800", "\x00", "\ufeff", "漢字", "<script>", "<table><td rowspan=1000000000>"),
    *(
        "<table>",
        "<tr>",
        "<td>",
        "<th colspan='2'>",
        "|",
        "<br>",
        "</td>",
        "</table>",
        "\\(",
        "\\)",
        "\\[",
        "\\]",
        "$",
        "5",
    ),
]
model_texts = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=5)), max_size=25).map("".join)

_numbers = st.one_of(st.integers(-50, 1200), st.floats())
_blocks = st.builds(
    Block,
    label=st.one_of(st.sampled_from(["text", "title", "image"]), st.text(max_size=5)),
    boxes=st.lists(st.builds(Box, _numbers, _numbers, _numbers, _numbers), max_size=3).map(tuple),
    text=st.one_of(st.text(max_size=40), st.text("ab \n字", max_size=60), model_texts),
)
# What a model may write, and what nobody has ever written.
any_transcript = st.builds(
    Transcript,
    page=st.integers(1, 3),
    width=st.integers(0, 2000),
    height=st.integers(0, 2000),
    raw=st.just(""),
    blocks=st.lists(_blocks, max_size=5).map(tuple),
    status=st.sampled_from(STATUSES),
    reason=st.one_of(st.none(), st.text(max_size=10)),
    labels_are_text=st.booleans(),
)
