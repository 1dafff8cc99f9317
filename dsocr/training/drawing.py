"""Pages drawn from known text with the fonts of this machine, and where on the page each character stands."""

from __future__ import annotations

import os
import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from dsocr.errors import InputError
from dsocr.training.text import ALPHABET, TextSource

_FOLDERS = (
    *("/usr/share/fonts", "/usr/local/share/fonts", "~/.fonts", "~/.local/share/fonts"),
    *("/Library/Fonts", "/System/Library/Fonts", "~/Library/Fonts"),
    *(r"C:\Windows\Fonts", r"~\AppData\Local\Microsoft\Windows\Fonts"),
)
_FAMILIES = re.compile(
    r"(?:DejaVu(?:Sans|Serif|SansMono)|Liberation(?:Sans|Serif|Mono))(?:-(?:Regular|Bold|Italic|Oblique))?"
    r"|Free(?:Sans|Serif|Mono)(?:Bold|Italic|Oblique)?"
)
_STYLE = re.compile(r"-?(Regular|Bold|Italic|Oblique)$")
_SLANTED_OR_BOLD = re.compile("Bold|Italic|Oblique|Demi|cmunbx|cmunti")
_MISSING_GLYPH = "\U0010fffe"


@dataclass(frozen=True)
class Drawn:
    """A drawn page.

    image: uint8 [height, width], grey, 0 is black.
    text: what a reader writes down: lines end in a newline, paragraphs in two, a heading starts with "# ".
    centres: float32 [len(text), 2], the (x, y) pixel where each character of text stands.
    """

    image: npt.NDArray[np.uint8]
    text: str
    centres: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Face:
    """A font at one size in pixels that knows how far each character moves the pen."""

    font: ImageFont.FreeTypeFont
    glyphs: frozenset[str]
    middle: float
    advances: dict[str, float]

    def edges(self, line: str) -> list[float]:
        """Return the pen's x before each character of the line and after the last: len(line) + 1 numbers of pixels."""
        edges = [0.0]
        for pair in zip(line, [*line[1:], ""], strict=True):
            edges.append(edges[-1] + self._advance("".join(pair)))
        return edges

    def _advance(self, pair: str) -> float:
        # The pen moves by a character's width and its kerning with the next one, so pairs add up to whole lines.
        if pair not in self.advances:
            self.advances[pair] = self.font.getlength(pair) - (self.font.getlength(pair[1]) if len(pair) > 1 else 0.0)
        return self.advances[pair]

    def drawable(self, text: str) -> str:
        """Return the text without the characters this font has no glyph for."""
        return "".join(character for character in text if character in self.glyphs)


@dataclass(frozen=True)
class Paragraph:
    """Lines that belong together: a paragraph, or a heading with its mark."""

    face: Face
    lines: Sequence[str]
    mark: str = ""


@dataclass(frozen=True)
class Line:
    """One line on its way to the page: its left end and baseline in pixels, and what goes between it and the next."""

    text: str
    face: Face
    left: float
    baseline: float
    mark: str = ""
    after: str = ""


@lru_cache(maxsize=1)
def find_fonts() -> dict[str, Path]:
    """Find the DejaVu, Liberation and FreeFont files of this machine: {file name without suffix: path}, sorted.

    Raises InputError when there are none.
    """
    files = [path for path in _font_files() if path.suffix == ".ttf"]
    found = {path.stem: path for path in reversed(files) if _FAMILIES.fullmatch(path.stem)}
    if not found:
        raise InputError(
            "no DejaVu, Liberation or FreeFont fonts on this machine; install them: "
            "apt-get install fonts-dejavu fonts-liberation fonts-freefont-ttf"
        )
    return dict(sorted(found.items()))


def choose_fonts(names: Sequence[str]) -> dict[str, Path]:
    """The fonts of these files and of these file names without suffix; without any, those of find_fonts.

    Raises InputError for one that is not here, is no font, or has no letters.
    """
    if not names:
        return find_fonts()
    chosen = [_choose_font(name) for name in names]
    return {path.stem: path for path in chosen}


def _choose_font(name: str) -> Path:
    files = [Path(name)] if Path(name).is_file() else [path for path in _font_files() if path.stem == name]
    if not files:
        raise InputError(f"font {name!r} is neither a file nor the name of a font of this machine")
    try:
        known = _glyphs(files[0])
    except OSError:
        raise InputError(f"{files[0]} is not a font") from None
    if "e" not in known:
        raise InputError(f"{files[0]} has no Latin letters")
    return files[0]


@lru_cache(maxsize=2048)
def open_face(path: Path, size: int) -> Face:
    """Open a font file at a size in pixels; opened faces are kept."""
    font = ImageFont.truetype(str(path), size)
    middle = font.getbbox("x", anchor="ls")[1] / 2
    return Face(font, _glyphs(path), middle, {})


@lru_cache(maxsize=1)
def _font_files() -> list[Path]:
    folders = [Path(os.path.expanduser(folder)) for folder in _FOLDERS]
    files = [path for folder in folders if folder.is_dir() for path in folder.rglob("*")]
    return sorted(path for path in files if path.suffix in (".ttf", ".otf"))


@lru_cache(maxsize=256)
def _glyphs(path: Path) -> frozenset[str]:
    font = ImageFont.truetype(str(path), 24)
    missing = bytes(font.getmask(_MISSING_GLYPH))
    # Some fonts print nothing where they have no glyph.
    drawn = (character for character in ALPHABET if bytes(font.getmask(character)) != missing)
    return frozenset({" ", *drawn})


def choose_font(rng: random.Random, fonts: Mapping[str, Path]) -> Path:
    """Choose a font at random; a regular style is four times as likely as a bold or a slanted one, and one of the
    families that nano is for three times as likely as another."""
    names = list(fonts)
    weights = [(1 if _SLANTED_OR_BOLD.search(name) else 4) * (3 if _FAMILIES.fullmatch(name) else 1) for name in names]
    return fonts[rng.choices(names, weights)[0]]


def bold_of(rng: random.Random, fonts: Mapping[str, Path], path: Path) -> Path | None:
    """A bold font of the same family, of any if it has none."""
    family = _STYLE.sub("", path.stem)
    bold = [file for name, file in fonts.items() if "Bold" in name]
    bold = [file for file in bold if _STYLE.sub("", file.stem) == family] or bold
    return rng.choice(bold) if bold else None


def draw_note(
    rng: random.Random,
    source: TextSource,
    fonts: Mapping[str, Path],
    *,
    width: int,
    height: int,
    size: int,
    characters: int | None = None,
    weights: Mapping[str, float] | None = None,
    heading: float = 0.2,
    paragraphs: float = 0.25,
    inverted: float = 0.03,
    noise: float = 0.05,
) -> Drawn:
    """Draw a note: a margin, perhaps a heading, one or two paragraphs of left-aligned lines, until the page is full.

    width, height and the letters' size are in pixels; characters is about how many to print (20 to 400 when None);
    weights are those of TextSource.mixture; heading, paragraphs, inverted and noise are probabilities.
    """
    path = choose_font(rng, fonts)
    face = open_face(path, size)
    left = rng.uniform(0.4, 1.6) * size + 0.12 * width * rng.random() ** 4
    room = (width - left) * rng.uniform(0.85, 0.98) - 0.25 * size
    count = characters or rng.randint(20, 400)
    step = rng.uniform(1.1, 1.6) * size
    title = source.mixture(rng, rng.randint(4, 40), weights) if rng.random() < heading else ""
    blocks = _heading(rng, title, fonts, path, size, room)
    parts = [count] if count < 40 or rng.random() >= paragraphs else _in_two(rng, count)
    blocks += [Paragraph(face, wrap(source.mixture(rng, part, weights), face, room)) for part in parts]
    return _painted(rng, _placed(rng, blocks, left, step, size, height), width, height, inverted, noise)


def draw_dense(
    rng: random.Random,
    source: TextSource,
    fonts: Mapping[str, Path],
    *,
    width: int,
    height: int,
    size: int,
    spread: float = 0.15,
    weights: Mapping[str, float] | None = None,
    inverted: float = 0.03,
    noise: float = 0.05,
) -> Drawn:
    """Fill the canvas with text from edge to edge; lines are cut off where it ends, and nothing marks their ends.

    Each line may have its own font, and a size within 1 ± spread of the one asked for. Characters whose centre falls
    outside are not in the text, which has no newlines.
    """
    path = choose_font(rng, fonts)
    lines: list[Line] = []
    baseline = -rng.uniform(0.0, size)
    while baseline < height + size:
        if rng.random() < 0.5:
            path = choose_font(rng, fonts)
        own = max(4, round(size * rng.uniform(1 - spread, 1 + spread)))
        baseline += own * rng.uniform(1.05, 1.45)
        lines.append(_long_line(rng, source, open_face(path, own), baseline, width, weights))
    return _painted(rng, lines, width, height, inverted, noise)


def wrap(text: str, face: Face, room: float) -> list[str]:
    """Break text into lines at most `room` pixels wide, at spaces, or inside a word wider than a line."""
    # A line must not begin like a heading, so a lone number sign is not printed.
    words = [word for word in face.drawable(text).split() if word.strip("#")]
    lines: list[str] = []
    for word in words:
        if lines and face.edges(f"{lines[-1]} {word}")[-1] <= room:
            lines[-1] += f" {word}"
        else:
            lines += _pieces(word, face, room)
    return lines


def _pieces(word: str, face: Face, room: float) -> list[str]:
    pieces: list[str] = []
    while word:
        fitting = len(word)
        while fitting > 1 and face.edges(word[:fitting])[-1] > room:
            fitting -= 1
        pieces.append(word[:fitting])
        word = word[fitting:]
    return pieces


def _heading(
    rng: random.Random, title: str, fonts: Mapping[str, Path], path: Path, size: int, room: float
) -> list[Paragraph]:
    """Make a heading of one bold line, of the body's family where that has one; nothing without title or font."""
    bold = bold_of(rng, fonts, path)
    if not title or not bold:
        return []
    face = open_face(bold, round(size * rng.uniform(1.3 if "Bold" in path.stem else 1.15, 1.5)))
    lines = wrap(title, face, room)
    return [Paragraph(face, lines[:1], "# ")] if lines else []


def _in_two(rng: random.Random, count: int) -> list[int]:
    first = round(count * rng.uniform(0.25, 0.75))
    return [first, count - first]


def _placed(
    rng: random.Random, blocks: Sequence[Paragraph], left: float, step: float, size: int, height: int
) -> list[Line]:
    """Give every line that fits on the page its place; the first line is always there."""
    gap = rng.uniform(0.6, 1.2) * step
    lines: list[Line] = []
    baseline = 0.0
    limit = height - 1.6 * size
    for block in blocks:
        scale = block.face.font.size / size
        baseline += (gap if lines else 0.0) + (scale - 1) * 0.8 * size
        for index, text in enumerate(block.lines):
            if lines and baseline > limit:
                return _pushed_down(rng, lines, limit, size)
            after = "\n\n" if index + 1 == len(block.lines) else "\n"
            lines.append(Line(text, block.face, left, baseline, block.mark, after))
            baseline += step * scale
    return _pushed_down(rng, lines, limit, size)


def _pushed_down(rng: random.Random, lines: list[Line], limit: float, size: int) -> list[Line]:
    """Move the lines down from the page's edge, seldom far; nothing follows the last one."""
    free = max(0.0, limit - lines[-1].baseline) if lines else 0.0
    down = 1.2 * size + min(free, rng.uniform(0.0, 1.2) * size + free * rng.random() ** 6)
    moved = [replace(line, baseline=line.baseline + down) for line in lines]
    return moved[:-1] + [replace(line, after="") for line in moved[-1:]]


def _long_line(
    rng: random.Random,
    source: TextSource,
    face: Face,
    baseline: float,
    width: int,
    weights: Mapping[str, float] | None,
) -> Line:
    size = face.font.size
    left = -rng.uniform(0.0, 2.0) * size
    text = " ".join(face.drawable(source.mixture(rng, round(width / (0.4 * size)) + 8, weights)).split())
    while face.edges(text)[-1] + left < width:
        text += " " + face.drawable(source.mixture(rng, 20, weights)).strip()
    return Line(text, face, left, baseline)


def _painted(
    rng: random.Random, lines: Sequence[Line], width: int, height: int, inverted: float, noise: float
) -> Drawn:
    """Print the lines on paper and note where their characters stand."""
    ink, paper = rng.randint(0, 80), rng.randint(215, 255)
    if rng.random() < inverted:
        ink, paper = 255 - ink, 255 - paper
    image = Image.new("L", (width, height), paper)
    pen = ImageDraw.Draw(image)
    for line in lines:
        pen.text((line.left, line.baseline), line.text, font=line.face.font, fill=ink, anchor="ls")
    text = "".join(line.mark + line.text + line.after for line in lines)
    centres = np.concatenate([np.zeros((0, 2), np.float32), *(centres_of(line, width, height) for line in lines)])
    inside = ((centres >= 0) & (centres < (width, height))).all(axis=1)
    seen = "".join(text[index] for index in np.flatnonzero(inside))
    return Drawn(worn(rng, image, noise), seen, centres[inside])


def centres_of(line: Line, width: int, height: int) -> npt.NDArray[np.float32]:
    """Return where the line's characters stand, float32 [characters, 2]; marks without ink stay on the page."""
    size = line.face.font.size
    edges = np.asarray(line.face.edges(line.text))
    middle = line.baseline + line.face.middle
    inked = line.left + (edges[:-1] + edges[1:]) / 2
    before = [line.left - size * (0.25 + 0.3 * (len(line.mark) - 1 - index)) for index in range(len(line.mark))]
    after = [line.left + edges[-1] + size * 0.25] * len(line.after)
    marks = (np.clip(np.asarray(x, dtype=np.float64), 0.0, width - 1.0) for x in (before, after))
    x = np.concatenate([next(marks), inked, next(marks)])
    y = np.full_like(x, middle)
    # The second newline ends a paragraph: it stands in the gap below the first.
    y[len(x) - len(line.after) + 1 :] = min(middle + size * 0.7, height - 1.0)
    return np.stack([x, y], axis=1).astype(np.float32)


def worn(rng: random.Random, image: Image.Image, chance: float) -> npt.NDArray[np.uint8]:
    """Blur the page slightly, speckle it, or both, with the given chance."""
    blurred, speckled = rng.random() < chance, rng.random() < chance
    if blurred:
        image = image.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 0.9)))
    grey: npt.NDArray[np.uint8] = np.array(image, dtype=np.uint8)
    if not speckled:
        return grey
    grain = np.random.default_rng(rng.getrandbits(64)).standard_normal(grey.shape, dtype=np.float32)
    return np.clip(grey + rng.uniform(2.0, 12.0) * grain, 0, 255).astype(np.uint8)
