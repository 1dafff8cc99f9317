"""Pages that end in a loop, of every kind that models of this family are known to fall into."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.loop_pages.words import ARABIC, DAYS, JAPANESE, MONTHS, RUSSIAN, Words, row, table, tag, tagged

LONG = 28_000  # bytes: about what the model's context holds


@dataclass(frozen=True)
class Looping:
    """A page and where it should have ended: after the first of the copies."""

    kind: str
    text: str
    onset: int


@dataclass(frozen=True)
class Endless:
    """What a loop is made of: what leads into it, and the copies, of which only the first is good."""

    copies: Iterator[str]
    lead: str = ""


def looping_pages(seed: int, each: int) -> list[Looping]:
    """So many pages of each kind; honest beginnings of 0 to some thousand characters come first."""
    return [_page(kind, random.Random(f"{seed} {kind} {number}")) for kind in LOOPS for number in range(each)]


def _page(kind: str, rng: random.Random) -> Looping:
    words = Words(rng)
    endless = LOOPS[kind](words)
    good = _beginning(words) + endless.lead + next(endless.copies)
    pieces, size = [good], len(good.encode())
    while size < LONG + len(good.encode()):
        pieces.append(next(endless.copies))
        size += len(pieces[-1].encode())
    return Looping(kind, "".join(pieces), len(good))


def _beginning(words: Words) -> str:
    rng = words.rng
    paragraphs = [words.paragraph(rng.randint(60, 700)) for _ in range(rng.randint(1, 8))]
    return rng.choice(
        [
            lambda: "",
            lambda: f"# {words.title()}\n\n",
            lambda: "\n\n".join(paragraphs) + "\n\n",
            lambda: tagged(words, paragraphs),
            lambda: f"{tag('title', 80, 20, 900, 60)}# {words.title()}\n\n" + tagged(words, paragraphs),
            lambda: (
                f"## {words.title()}\n\n" + "".join(f"- {words.sentence()}\n" for _ in range(rng.randint(2, 15))) + "\n"
            ),
            lambda: table([[words.word(), words.amount(), words.date()] for _ in range(rng.randint(2, 20))]) + "\n\n",
            lambda: "".join(words.chinese(rng.randint(2, 5)) for _ in range(rng.randint(1, 6))) + "\n\n",
        ]
    )()


def _same(text: str, lead: str = "") -> Endless:
    return Endless(itertools.repeat(text), lead)


def glyph(words: Words) -> Endless:
    return _same(words.rng.choice("aAoOeIlxXQ的一口日ー♥■█★✓§ñжع"))


def syllable(words: Words) -> Endless:
    short = [
        words.rng.choice(["OCR", "ab", "ha", "xo", "NMLY", "的了", "www.", "la-", "{,", "()", "><", "/a"]),
        words.word(),
    ]
    return _same(words.rng.choice(short))


def word(words: Words) -> Endless:
    return _same(words.word() + words.rng.choice([" ", ", ", "; ", "-", " / "]))


def phrase(words: Words) -> Endless:
    return _same(words.phrase(2, 8) + words.rng.choice([" ", ", ", " and ", ". "]))


def sentence(words: Words) -> Endless:
    return _same(words.sentence() + " ")


def line(words: Words) -> Endless:
    return _same(words.phrase(4, 14).capitalize() + words.rng.choice(["\n", "\n\n", ".\n", "  \n"]))


def item(words: Words) -> Endless:
    mark = words.rng.choice(["- ", "* ", "• ", "□ done ", "(a) ", "> "])
    return _same(mark + words.phrase(5, 12) + "\n")


def heading(words: Words) -> Endless:
    return _same("#" * words.rng.randint(1, 4) + " " + words.phrase(4, 8).capitalize() + "\n\n")


def html_row(words: Words) -> Endless:
    cells = [words.phrase(1, 3) for _ in range(words.rng.randint(4, 7))] + [words.amount()]
    return _same(row(cells), "<table>" + row([words.word() for _ in cells]))


def sparse_row(words: Words) -> Endless:
    cells = [words.phrase(2, 4), words.phrase(2, 4), "", words.phrase(1, 3), words.amount()]
    words.rng.shuffle(cells)
    return _same(row(cells) + "\n", "<table>\n" + row([words.word() for _ in cells]) + "\n")


def markdown_row(words: Words) -> Endless:
    cells = [words.phrase(1, 3) for _ in range(words.rng.randint(4, 6))]
    head = "| " + " | ".join(words.word() for _ in cells) + " |\n|" + "---|" * len(cells) + "\n"
    return _same("| " + " | ".join(cells) + " |\n", head)


def cycle_of_rows(words: Words) -> Endless:
    rows = [
        row([words.phrase(1, 3), words.name(), words.city(), words.amount()]) for _ in range(words.rng.randint(2, 5))
    ]
    return _same("".join(rows), "<table>")


def paragraph(words: Words) -> Endless:
    return _same(words.paragraph(words.rng.randint(120, 560)) + "\n\n")


def paragraphs(words: Words) -> Endless:
    parts = [words.paragraph(words.rng.randint(80, 250)) for _ in range(words.rng.randint(2, 3))]
    return _same("\n\n".join(parts) + "\n\n")


def long_paragraph(words: Words) -> Endless:
    return _same(words.paragraph(words.rng.randint(500, 800)) + "\n\n")


def two_lines(words: Words) -> Endless:
    return _same("".join(words.phrase(3, 9).capitalize() + "\n" for _ in range(2)))


def cycle_of_lines(words: Words) -> Endless:
    return _same("".join(words.phrase(2, 8).capitalize() + "\n" for _ in range(words.rng.randint(3, 9))))


def address(words: Words) -> Endless:
    return _same(
        f"{words.name()}\n{words.rng.randint(1, 99)} {words.title()} Street\n{words.city()}\nTel. 555 0147\n\n"
    )


def quad(words: Words) -> Endless:
    return _same(words.rng.choice(["\\quad ", "\\qquad ", "\\, ", "~ ", "\\quad\\quad ", "\\cdots "]), "\\[ x = y ")


def ampersands(words: Words) -> Endless:
    columns = words.rng.randint(3, 20)
    return _same(words.rng.choice(["& ", " & & ", "{} & ", "& \\\\ "]), "\\[ \\begin{array}{" + "c" * columns + "} a ")


def formula(words: Words) -> Endless:
    a, b = words.rng.sample("abcdefghxyz", 2)
    shapes = [
        f"\\frac{{{a}}}{{{b}}} + ",
        f"{a}_{{i}} = \\sum {b} , ",
        f"\\left( {a} \\right) ",
        f"\\mathrm{{{words.word()}}} ",
    ]
    return _same(words.rng.choice(shapes), "\\[ ")


def white_space(words: Words) -> Endless:
    return _same(words.rng.choice([" ", "\n", "\n\n", " \n", "\t", "\u3000", "&nbsp;"]), words.sentence())


def leader(words: Words) -> Endless:
    return _same(words.rng.choice([".", ". ", "_", "-", "…", "·", "=", "* ", "- ", "~", "—"]), words.title() + " ")


def empty_cells(words: Words) -> Endless:
    return _same(words.rng.choice(["<td></td>", "<td> </td>"]), "<table>" + row(["a", "b"]) + "<tr>")


def full_cells(words: Words) -> Endless:
    return _same(f"<td>{words.phrase(4, 7)}</td>", "<table>" + row([words.word(), words.word()]) + "<tr>")


def same_block(words: Words) -> Endless:
    left, top = words.rng.randint(30, 300), words.rng.randint(30, 800)
    return _same(tag("text", left, top, left + 500, top + 60) + words.sentence() + "\n\n")


def same_picture(words: Words) -> Endless:
    left, top = words.rng.randint(30, 300), words.rng.randint(30, 800)
    return _same(tag("image", left, top, left + 400, top + 160) + "\n")


def cycle_of_blocks(words: Words) -> Endless:
    tops = range(100, 900, words.rng.randint(60, 250))
    blocks = [
        tag("text", 80, top, 900, top + 50) + words.sentence() + "\n\n" for top in tops[: words.rng.randint(2, 5)]
    ]
    return _same("".join(blocks))


def drifting_block(words: Words) -> Endless:
    """Boxes that slide over each other."""
    left, top, text = words.rng.randint(30, 300), words.rng.randint(30, 400), words.sentence()
    across, down, height = words.rng.randint(0, 2), words.rng.randint(1, 8), words.rng.randint(18, 60)

    def copies() -> Iterator[str]:
        for step in itertools.count():
            x, y = left + min(across * step, 300), top + min(down * step, 560)
            yield tag("text", x, y, x + 350, y + height) + text + "\n\n"

    return Endless(copies())


def drifting_line(words: Words) -> Endless:
    """The same, as the prompt for lines with boxes writes it: the words are the label."""
    left, top, text = words.rng.randint(30, 300), words.rng.randint(30, 400), words.phrase(2, 8)
    down, height = words.rng.randint(1, 6), words.rng.randint(15, 30)
    return Endless(
        tag(text, left, min(top + down * step, 980), left + 500, top + down * step + height)
        for step in itertools.count()
    )


def renumbered_paragraph(words: Words) -> Endless:
    """A paragraph in which one number is another each time."""
    before, after = words.paragraph(words.rng.randint(110, 250)), words.paragraph(words.rng.randint(90, 250))
    shape = words.rng.choice(["No. {}", "in {}", "section {}", "page {}"])
    begins, by = words.rng.randint(1, 300), words.rng.choice([1, 1, 1, 2, 7, 10])
    return Endless(f"{before} {shape.format(begins + by * step)} {after}\n\n" for step in itertools.count())


def chinese(words: Words) -> Endless:
    return _same(words.chinese(words.rng.randint(1, 4)) + words.rng.choice(["", "\n", "\n\n"]))


def other_scripts(words: Words) -> Endless:
    return _same(words.rng.choice(RUSSIAN + ARABIC + JAPANESE) + words.rng.choice([" ", "\n", ". "]))


def path(words: Words) -> Endless:
    return _same(
        words.rng.choice([f"/{words.word()}", f"{words.word()}.", f"/{words.word()}/{words.word()}"]), "https:/"
    )


def code(words: Words) -> Endless:
    a, b, c = words.word(), words.word(), words.word()
    lines = [f"    self.{a} = {b}({c}, {words.word()})\n", f"import {a}.{b} as {c}_{words.word()}\n"]
    lines.append(f"if ({a} > {b}) {{\n    return {c}.{words.word()}();\n}}\n")
    return _same(words.rng.choice(lines), "```\n")


def markup(words: Words) -> Endless:
    return _same(words.rng.choice(["<br>", "<br><br>", "&nbsp;", "\\n", "</div>", "<p></p>", "<b></b>", "**", "\\_"]))


def digits(words: Words) -> Endless:
    return _same(words.rng.choice(["3", "0", "1 ", "12 ", "0.0 ", "9", "-3 ", "00 "]), "Total: 17.")


def counting(words: Words) -> Endless:
    between = words.rng.choice([", ", "\n", " ", "; ", ".\n", "\n\n", " | "])
    return Endless(f"{number}{between}" for number in itertools.count(1))


def empty_rows(words: Words) -> Endless:
    columns = words.rng.randint(2, 10)
    return _same(row([""] * columns), "<table>" + row([words.word() for _ in range(columns)]))


def equal_rows(words: Words) -> Endless:
    columns, cell = words.rng.randint(2, 8), words.rng.choice(["0", "-", "0.00", "n/a", "yes", "✓"])
    return _same(row([cell] * columns), "<table>" + row([words.word() for _ in range(columns)]))


def short_line(words: Words) -> Endless:
    return _same(words.phrase(1, 3).capitalize() + words.rng.choice(["\n", "\n\n", ":\n", ": ____\n"]))


def short_row(words: Words) -> Endless:
    return _same(row([words.word(), words.rng.choice(["", "0", words.word()]), ""]), "<table>")


def numbered_item(words: Words) -> Endless:
    text = words.phrase(1, 9)
    return Endless(f"{number}. {text}\n" for number in itertools.count(1))


def numbered_row(words: Words) -> Endless:
    cells = [words.phrase(1, 3) for _ in range(words.rng.randint(1, 3))]
    return Endless((row([str(number), *cells]) for number in itertools.count(1)), "<table>")


def invented_row(words: Words) -> Endless:
    """Rows that go on with numbers drawn from the air."""
    name, rest = words.name(), words.phrase(2, 4)
    return Endless(
        (row([words.date(), f"{rest} {name}", words.amount(), words.amount()]) for _ in itertools.count()), "<table>"
    )


def stepping_block(words: Words) -> Endless:
    """Equal blocks down the page, each below the one before, and on from the top."""
    text, height = words.sentence(), words.rng.randint(14, 30)
    return Endless(
        tag("text", 90, 50 + step * (height + 3) % 900, 880, 50 + step * (height + 3) % 900 + height) + text + "\n\n"
        for step in itertools.count()
    )


def reworded_paragraph(words: Words) -> Endless:
    """A paragraph in which one word is another each time."""
    own = words.paragraph(words.rng.randint(60, 500)).split()

    def copies() -> Iterator[str]:
        while True:
            copy = list(own)
            copy[words.rng.randrange(len(copy))] = words.word()
            yield " ".join(copy) + "\n\n"

    return Endless(copies())


def shuffled_sentences(words: Words) -> Endless:
    """A few sentences, in an order of their own each time."""
    own = [words.sentence() for _ in range(words.rng.randint(2, 6))]
    end = words.rng.choice([" ", "\n"])
    return Endless(words.rng.choice(own) + end for _ in itertools.count())


def shuffled_lines(words: Words) -> Endless:
    """A few short lines that differ in a letter or two, in no order."""
    name = words.title()
    own = [name]
    for _ in range(words.rng.randint(1, 5)):
        place = words.rng.randrange(len(name))
        own.append(name[:place] + words.rng.choice("aeiouns") + name[place + 1 :])
    end = words.rng.choice(["\n", "\n\n"])
    return Endless(words.rng.choice(own) + end for _ in itertools.count())


def shuffled_chinese(words: Words) -> Endless:
    own = [words.chinese(1)[: words.rng.randint(5, 12)] for _ in range(words.rng.randint(2, 4))]
    return Endless(words.rng.choice(own) + "\n" for _ in itertools.count())


def shuffled_numbers(words: Words) -> Endless:
    own = words.rng.choice([["-3 ", "-3 ", "-33 "], ["11 ", "111 ", "11 "], ["0.1 ", "0.10 "], ["3", "3", "33 "]])
    return Endless(words.rng.choice(own) for _ in itertools.count())


def _banned(unit: str, words: Words) -> Endless:
    """The unit again and again, under the rule that no 30 tokens may come again that began within the last 90.

    Where the rule forbids the next token, another one comes, or it is left out; then the unit goes on.
    """
    tokens = re.findall(r"<[^>]*>|\s*[^\W\d_]{1,5}|.", unit, re.S)

    def copies() -> Iterator[str]:
        written: list[str] = []
        while True:
            for begin in [len(written)]:
                for token in tokens:
                    known = [tuple(written[at : at + 30]) for at in range(max(0, len(written) - 90), len(written) - 29)]
                    if (*written[-29:], token) not in known:
                        written.append(token)
                    elif words.rng.random() < 0.7:
                        written.append(
                            words.rng.choice([" " + words.word()[:4], ",", "\n", " ", ".", token + "s", "的"])
                        )
                yield "".join(written[begin:])

    return Endless(copies())


def banned_phrase(words: Words) -> Endless:
    return _banned(words.rng.choice([words.word() + " ", words.phrase(2, 8) + ", ", "OCR", "\\quad "]), words)


def banned_line(words: Words) -> Endless:
    return _banned(words.phrase(1, 14).capitalize() + "\n", words)


def banned_row(words: Words) -> Endless:
    return _banned(row([words.phrase(1, 2), words.phrase(1, 3), words.word(), words.amount()]), words)


def banned_paragraph(words: Words) -> Endless:
    return _banned(words.paragraph(words.rng.randint(100, 190)) + "\n\n", words)


def calendar(words: Words) -> Endless:
    names = words.rng.choice([MONTHS, DAYS])
    return _same("".join(f"{name}\n" for name in names))


LOOPS: dict[str, Callable[[Words], Endless]] = {
    make.__name__.replace("_", " "): make
    for make in (
        glyph,
        syllable,
        word,
        phrase,
        sentence,
        line,
        item,
        heading,
        html_row,
        sparse_row,
        markdown_row,
        cycle_of_rows,
        paragraph,
        paragraphs,
        long_paragraph,
        two_lines,
        cycle_of_lines,
        address,
        calendar,
        quad,
        ampersands,
        formula,
        white_space,
        leader,
        empty_cells,
        full_cells,
        same_block,
        same_picture,
        cycle_of_blocks,
        drifting_block,
        drifting_line,
        renumbered_paragraph,
        chinese,
        other_scripts,
        path,
        code,
        markup,
        counting,
        digits,
        empty_rows,
        equal_rows,
        short_line,
        short_row,
        numbered_item,
        numbered_row,
        invented_row,
        stepping_block,
        reworded_paragraph,
        shuffled_sentences,
        shuffled_lines,
        shuffled_chinese,
        shuffled_numbers,
        banned_phrase,
        banned_line,
        banned_row,
        banned_paragraph,
    )
}
# An honest page may look like these for long; they are stopped, but late.
LATE = frozenset(
    {
        "digits",
        "empty rows",
        "equal rows",
        "short line",
        "short row",
        "numbered item",
        "numbered row",
        "invented row",
        "stepping block",
        "reworded paragraph",
        "shuffled sentences",
        "shuffled lines",
        "shuffled chinese",
        "shuffled numbers",
        "banned phrase",
        "banned line",
        "banned row",
        "banned paragraph",
    }
)
