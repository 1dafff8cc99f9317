"""The tag language, label and boxes before each text: found while it streams, parsed whole, and written back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from dsocr.document.blocks import Block, Box

REF, REF_END, DET, DET_END = "<|ref|>", "<|/ref|>", "<|det|>", "<|/det|>"
MARKS = (REF, REF_END, DET, DET_END)
END_OF_TEXT = "<\uff5cend\u2581of\u2581sentence\uff5c>"  # the tokenizer's own wide bars and low blocks

_MARK = re.compile("(" + "|".join(map(re.escape, MARKS)) + ")")
_TEXT = "text"
_OUTSIDE, _IN_LABEL, _AFTER_LABEL, _IN_BOXES, _COMPLETE = range(5)
# Anything that is not in this table ends the tag: what was held is text after all.
_NEXT = {
    (_OUTSIDE, REF): _IN_LABEL,
    (_IN_LABEL, _TEXT): _IN_LABEL,
    (_IN_LABEL, REF_END): _AFTER_LABEL,
    (_AFTER_LABEL, DET): _IN_BOXES,
    (_IN_BOXES, _TEXT): _IN_BOXES,
    (_IN_BOXES, DET_END): _COMPLETE,
}

# Nine digits are beyond any page; without a bound a row of digits would cost quadratic time.
_NUMBER = r"\s*(-?[0-9]{1,9}(?:\.[0-9]{1,9})?)\s*"
_NUMBERS = re.compile(",".join([_NUMBER] * 4))
_BRACKET = re.compile(r"\s*\[([^\[\]]*)\]\s*(,|\Z)")


@dataclass(frozen=True)
class Tag:
    """One whole tag pair: the label, and the text in the place of the boxes."""

    label: str
    det: str


class StreamParser:
    """Finds whole tags in text that arrives in pieces of any size; what may still become a tag is held back.

    A tag pair is `<|ref|>label<|/ref|><|det|>boxes<|/det|>` with no other mark inside; every other mark is
    text. The joined pieces and the rest given by `close` are the whole text, less the end-of-text token.
    """

    def __init__(self) -> None:
        self._ending = _EndOfText()
        self._half_mark = ""
        self._held: list[str] = []
        self._stage = _OUTSIDE

    def feed(self, delta: str) -> list[Tag | str]:
        """What has become certain: whole tags, and text that belongs to none."""
        return list(self._scan(self._ending.feed(delta)))

    def close(self) -> tuple[list[Tag | str], str]:
        """What became certain by the end, and the rest: a tag or mark that was begun and never completed."""
        pieces = list(self._scan(self._ending.close()))
        rest = "".join(self._held) + self._half_mark
        self._held, self._half_mark, self._stage = [], "", _OUTSIDE
        return pieces, rest

    def _scan(self, text: str) -> Iterator[Tag | str]:
        text = self._half_mark + text
        whole = len(text) - half_written(text, MARKS)
        self._half_mark = text[whole:]
        for piece in _MARK.split(text[:whole]):
            if piece:
                yield from self._take(piece)

    def _take(self, piece: str) -> Iterator[Tag | str]:
        kind = piece if piece in MARKS else _TEXT
        stage = _NEXT.get((self._stage, kind))
        if stage is None and self._held:
            yield self._release()
            stage = _NEXT.get((_OUTSIDE, kind))
        if stage is None:
            yield piece
            return
        self._held.append(piece)
        self._stage = stage
        if stage == _COMPLETE:
            label, _, det = self._release()[len(REF) : -len(DET_END)].partition(REF_END + DET)
            yield Tag(label, det)

    def _release(self) -> str:
        held = "".join(self._held)
        self._held, self._stage = [], _OUTSIDE
        return held


def parse(text: str) -> tuple[Block, ...]:
    """The blocks of any text, in linear time; never raises, and `write` gives the same text back.

    Only end-of-text tokens at the very end are dropped. A tag that is not whole stays in the text.
    """
    parser = StreamParser()
    pieces = parser.feed(text)
    last, rest = parser.close()
    blocks: list[Block] = []
    tag: Tag | None = None
    words: list[str] = []
    for piece in [*pieces, *last, rest]:
        if isinstance(piece, str):
            words.append(piece)
            continue
        blocks.extend(_block(tag, "".join(words)))
        tag, words = piece, []
    return (*blocks, *_block(tag, "".join(words)))


def write(blocks: Iterable[Block]) -> str:
    """The blocks as the model would write them. Labels and texts must hold no marks to be read back alike."""
    return "".join(_write_tag(block) + block.text for block in blocks)


def read_boxes(det: str) -> tuple[Box, ...]:
    """The boxes of a list such as `[[1, 2, 30, 40], [5, 6, 7.5, 8]]`; nothing is ever evaluated.

    A bracket with anything but four plain numbers gives no box; text that is no list of brackets gives none at all.
    """
    inner = det.strip()
    if not (inner.startswith("[") and inner.endswith("]")):
        return ()
    inner, place, boxes = inner[1:-1], 0, []
    while place < len(inner):
        bracket = _BRACKET.match(inner, place)
        if bracket is None:
            return ()
        numbers = _NUMBERS.fullmatch(bracket[1])
        if numbers:
            boxes.append(Box(*map(_number, numbers.groups())))
        place = bracket.end()
    return tuple(boxes)


def half_written(text: str, words: tuple[str, ...]) -> int:
    """How many characters at the end of the text are the beginning of one of the words, but not all of it.

    The words share their first character and have it nowhere else.
    """
    start = text.rfind(words[0][0], -max(map(len, words)))
    if start < 0:
        return 0
    end = text[start:]
    return len(end) if any(word.startswith(end) and word != end for word in words) else 0


class _EndOfText:
    """Holds back end-of-text tokens, whole or half, until more text shows that they were not the end."""

    def __init__(self) -> None:
        self._tokens = 0
        self._half = ""

    def feed(self, delta: str) -> str:
        *before, last = (self._half + delta).split(END_OF_TEXT)
        whole = len(last) - half_written(last, (END_OF_TEXT,))
        self._half = last[whole:]
        words = []
        for text in before:
            words.append(self._followed_by(text))
            self._tokens += 1
        return "".join(words) + self._followed_by(last[:whole])

    def close(self) -> str:
        half, self._half = self._half, ""
        return self._followed_by(half)

    def _followed_by(self, text: str) -> str:
        if not text:
            return ""
        tokens, self._tokens = self._tokens, 0
        return END_OF_TEXT * tokens + text


def _block(tag: Tag | None, text: str) -> Iterator[Block]:
    if tag:
        boxes = read_boxes(tag.det)
        ours = tag.det == _write_boxes(boxes) and (tag.label or boxes)
        yield Block(tag.label, boxes, text, None if ours else tag.det)
    elif text:
        yield Block("", (), text)


def _write_tag(block: Block) -> str:
    if not block.label and not block.boxes and block.det is None:
        return ""
    det = block.det
    # Boxes that were replaced after parsing speak for themselves.
    if det is None or read_boxes(det) != block.boxes:
        det = _write_boxes(block.boxes)
    return f"{REF}{block.label}{REF_END}{DET}{det}{DET_END}"


def _write_boxes(boxes: tuple[Box, ...]) -> str:
    return "[" + ", ".join(f"[{box.left}, {box.top}, {box.right}, {box.bottom}]" for box in boxes) + "]"


def _number(text: str) -> float:
    return float(text) if "." in text else int(text)
