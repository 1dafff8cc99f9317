"""Pages that honestly say the same again and again, up to what fits a page: none of them is a loop."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.loop_pages.words import CHINESE, CITIES, DAYS, MONTHS, Words, table, tag, tagged


@dataclass(frozen=True)
class Repetitive:
    """A whole page as it should be read."""

    kind: str
    text: str


def repetitive_pages(seed: int, each: int) -> list[Repetitive]:
    """So many pages of each kind."""
    return [_page(kind, random.Random(f"{seed} {kind} {number}")) for kind in HONEST for number in range(each)]


def _page(kind: str, rng: random.Random) -> Repetitive:
    """Most pages have something around what repeats, some have nothing else."""
    words = Words(rng)
    before = words.paragraph(rng.randint(40, 500)) + "\n\n" if rng.random() < 0.6 else ""
    after = "\n\n" + words.paragraph(rng.randint(40, 500)) if rng.random() < 0.6 else ""
    box = tag("text", 60, rng.randint(20, 200), 940, rng.randint(700, 960)) if rng.random() < 0.3 else ""
    return Repetitive(kind, before + box + HONEST[kind](words) + after)


def equal_cells(words: Words) -> str:
    cell = words.rng.choice(
        ["0", "-", "n/a", "yes", "0.00", "✓", "not applicable", "no data for this year", "—", "x", "100 %"]
    )
    return table([[cell] * words.rng.randint(2, 12) for _ in range(words.rng.randint(5, 40))])


def empty_form(words: Words) -> str:
    columns = words.rng.randint(2, 14)
    return table([[words.word() for _ in range(columns)]] + [[""] * columns for _ in range(words.rng.randint(5, 55))])


def labelled_zeros(words: Words) -> str:
    cell, columns = words.rng.choice(["0", "0.0", "-", "none"]), words.rng.randint(3, 14)
    return table([[words.city(), *([cell] * columns)] for _ in range(words.rng.randint(5, 45))])


def attendance(words: Words) -> str:
    rows = [
        [words.name(), *(words.rng.choice(["P", "P", "P", "A", ""]) for _ in range(31))]
        for _ in range(words.rng.randint(5, 35))
    ]
    return table([["Name", *map(str, range(1, 32))], *rows])


def presence(words: Words) -> str:
    marks = words.rng.choice(
        [["present", "absent"], ["passed", "failed", "excused"], ["yes", "no"], ["full time", "part time"]]
    )
    rows = [[words.rng.choice(marks) for _ in range(words.rng.randint(6, 10))] for _ in range(words.rng.randint(5, 40))]
    return table(rows)


def gantt(words: Words) -> str:
    rows = []
    for _ in range(words.rng.randint(4, 20)):
        begins, lasts = words.rng.randint(0, 40), words.rng.randint(1, 12)
        rows.append([words.phrase(1, 3), *("█" if begins <= week < begins + lasts else "" for week in range(52))])
    return table(rows)


def markdown_zeros(words: Words) -> str:
    columns, cell = words.rng.randint(2, 12), words.rng.choice(["0", " ", "-", "0.00"])
    head = "| " + " | ".join(words.word() for _ in range(columns)) + " |\n|" + " --- |" * columns + "\n"
    return head + ("| " + " | ".join([cell] * columns) + " |\n") * words.rng.randint(5, 45)


def contents(words: Words) -> str:
    mark = words.rng.choice([".", ". ", "…", "·", " .", "_"])
    lines = []
    for number in range(1, words.rng.randint(8, 50)):
        lines.append(
            f"{number}.{words.rng.randint(1, 9)} {words.title()} {mark * words.rng.randint(10, 90)} {number * 3}"
        )
    return words.rng.choice(["\n", "  \n", " "]).join(lines)


def appendices(words: Words) -> str:
    name, dots = words.rng.choice(["Appendix", "Exhibit", "Figure", "Schedule"]), "." * words.rng.randint(20, 90)
    return "\n".join(f"{name} {number} {dots} {number + 40}" for number in range(1, words.rng.randint(10, 45)))


def ruled_lines(words: Words) -> str:
    line = words.rng.choice("_.-=…─") * words.rng.randint(20, 110)
    return words.rng.choice(["\n", "\n\n"]).join([line] * words.rng.randint(5, 40))


def long_rule(words: Words) -> str:
    rules = [words.rng.choice("-=_*.~#") * words.rng.randint(80, 240) for _ in range(words.rng.randint(2, 6))]
    return "\n".join(part for rule in rules for part in (words.title(), rule, words.sentence()))


def fill_in(words: Words) -> str:
    blank = "_" * words.rng.randint(8, 40)
    labels = [words.word().capitalize() for _ in range(words.rng.randint(2, 5))]
    return "\n".join([" ".join(f"{label}: {blank}" for label in labels)] * words.rng.randint(5, 30))


def yes_no(words: Words) -> str:
    boxes = words.rng.choice(["[ ] yes [ ] no", "☐ Yes ☐ No ☐ Unknown", "( ) yes ( ) no ( ) don't know", "□ 是 □ 否"])
    return "\n".join([boxes] * words.rng.randint(5, 40))


def asked_yes_no(words: Words) -> str:
    boxes = words.rng.choice(["[ ] yes [ ] no", "☐ Yes ☐ No ☐ Not applicable", "(1) (2) (3) (4) (5)"])
    return "\n".join(
        f"{number}. {words.phrase(4, 12).capitalize()}? {boxes}" for number in range(1, words.rng.randint(8, 40))
    )


def survey(words: Words) -> str:
    scale = "☐ strongly agree ☐ agree ☐ neutral ☐ disagree ☐ strongly disagree"
    scale = words.rng.choice([scale, scale.replace("☐ ", ""), scale.replace("☐", "[ ]")])
    return "\n".join(f"{words.phrase(3, 12).capitalize()}: {scale}" for _ in range(words.rng.randint(5, 30)))


def survey_table(words: Words) -> str:
    scale = ["strongly agree", "agree", "neutral", "disagree", "strongly disagree"]
    return table([[words.phrase(4, 10), *scale] for _ in range(words.rng.randint(5, 25))])


def braces(words: Words) -> str:
    depth = words.rng.randint(5, 15)
    opens = "".join("    " * level + f"{words.word()} {{\n" for level in range(depth))
    return opens + "".join("    " * level + "}\n" for level in reversed(range(depth)))


def code(words: Words) -> str:
    lines = []
    for _ in range(words.rng.randint(10, 60)):
        a, b = words.word(), words.word()
        kinds = [
            f"self.{a} = {a}",
            f"if {a} is None:\n        return None",
            f"{a} = int({b}[{words.rng.randint(0, 9)}])",
        ]
        lines.append("    " + words.rng.choice(kinds))
    return "```\n" + "\n".join(lines) + "\n```"


def array(words: Words) -> str:
    value, columns = words.rng.choice(["0", "0x00", "0.0", "NULL", "false", "1"]), words.rng.choice([8, 10, 12, 16])
    rows = [", ".join([value] * columns) + "," for _ in range(words.rng.randint(4, 40))]
    return f"static const data[{len(rows) * columns}] = {{\n    " + "\n    ".join(rows) + "\n};"


def joined_array(words: Words) -> str:
    value, most = words.rng.choice([("0", 200), ("0.0", 150), ("1", 200), ("null", 100), ("0x00", 150)])
    return "[" + ", ".join([value] * words.rng.randint(20, most)) + "]"


def hex_dump(words: Words) -> str:
    lines = []
    for number in range(words.rng.randint(8, 60)):
        data = ["00"] * 16 if words.rng.random() < 0.7 else [f"{words.rng.randint(0, 255):02x}" for _ in range(16)]
        lines.append(f"{number * 16:08x}  {' '.join(data)}  |{'.' * 16}|")
    return "\n".join(lines)


def bare_dump(words: Words) -> str:
    return "\n".join([" ".join([words.rng.choice(["00", "ff", "20"])] * 16)] * words.rng.randint(8, 60))


def ascii_art(words: Words) -> str:
    width, height = words.rng.randint(20, 100), words.rng.randint(8, 45)
    inner = [words.rng.choice([" ", ".", "#", "*"]) * (width - 2) for _ in range(height)]
    return "\n".join(["+" + "-" * (width - 2) + "+", *(f"|{line}|" for line in inner), "+" + "-" * (width - 2) + "+"])


def guitar(words: Words) -> str:
    bars = []
    for _ in range(words.rng.randint(3, 10)):
        bars += [f"{string}|" + "-" * 16 + "|" + "-" * words.rng.choice([16, 14]) + "|" for string in "eBGDAE"] + [""]
    return "\n".join(bars)


def song(words: Words) -> str:
    """Verses, each followed by the refrain; the last refrain comes two or three times."""
    refrain = "\n".join(words.phrase(4, 7).capitalize() for _ in range(words.rng.randint(2, 4)))
    verses = ["\n".join(words.phrase(4, 8).capitalize() for _ in range(4)) for _ in range(words.rng.randint(2, 5))]
    sung = [part for verse in verses for part in (verse, refrain)]
    return "\n\n".join(sung + [refrain] * words.rng.randint(1, 2))


def nonsense_song(words: Words) -> str:
    line = " ".join([words.rng.choice(["la", "na", "hey", "ho"])] * words.rng.randint(4, 12)).capitalize()
    verses = [words.phrase(4, 8).capitalize() for _ in range(6)]
    return "\n".join(verses + [line] * words.rng.randint(4, 24) + verses[:2] + [line] * words.rng.randint(2, 8))


def growing_song(words: Words) -> str:
    """A nursery rhyme: in each verse two words are others."""
    shape = "The {0} on the {1} went all about, all about, all about,\nthe {0} on the {1} went all about, till dawn."
    return "\n\n".join(shape.format(words.word(), words.word()) for _ in range(words.rng.randint(4, 12)))


def counting_song(words: Words) -> str:
    thing, place = words.word(), words.word()
    begins = words.rng.randint(12, 40)
    verses = (
        f"{number} green {thing} sat upon the {place}, {number} green {thing} in a row.\n"
        f"And if one of them should go away, {number - 1} green {thing} remain."
        for number in range(begins, max(1, begins - words.rng.randint(6, 20)), -1)
    )
    return "\n\n".join(verses)


def anaphora(words: Words) -> str:
    opening = words.phrase(3, 6).capitalize()
    return "\n".join(f"{opening} {words.phrase(2, 5)}," for _ in range(words.rng.randint(6, 40)))


def one_word_changes(words: Words) -> str:
    before, after = words.phrase(4, 8).capitalize(), words.phrase(1, 4)
    return "\n".join(f"{before} {words.word()} {after}." for _ in range(words.rng.randint(5, 18)))


def clauses(words: Words) -> str:
    opening = words.rng.choice(
        ["The Tenant shall not", "The Contractor agrees to", "WHEREAS, the Board has", "No member may"]
    )
    close = "without the prior consent in writing of the Owner"
    return "\n\n".join(f"{n}. {opening} {words.phrase(3, 8)} {close};" for n in range(1, words.rng.randint(6, 25)))


def reserved(words: Words) -> str:
    word, text = (
        words.rng.choice(["Section", "Article", "§", "Rule"]),
        words.rng.choice(["[Reserved]", "(Repealed)", "Intentionally left blank."]),
    )
    return "\n\n".join(
        f"{word} {number}. {text}" for number in range(words.rng.randint(1, 50), words.rng.randint(60, 95))
    )


def bibliography(words: Words) -> str:
    author = words.name()
    return "\n".join(
        f"[{number}] {author}, {words.title()}, Journal of Research {words.rng.randint(1, 40)}, {1980 + number}."
        for number in range(1, words.rng.randint(8, 35))
    )


def ibid(words: Words) -> str:
    return "\n".join(
        f"{n}. {words.rng.choice(['Ibid.', 'Ibid.', 'Id.', 'Loc. cit.'])}, p. {words.rng.randint(1, 400)}."
        for n in range(1, words.rng.randint(10, 60))
    )


def statement(words: Words) -> str:
    """A bank's: the same shop again and again, on other days, for other sums."""
    text = f"Card payment to {words.shop()} {words.city()}"
    rows = [
        [words.date(), text if words.rng.random() < 0.95 else words.phrase(2, 4), words.amount(), words.amount()]
        for _ in range(words.rng.randint(10, 60))
    ]
    return table([["Date", "Details", "Paid out", "Balance"], *rows])


def same_fare(words: Words) -> str:
    """The same fare every day of the month."""
    text = f"Travel charge {words.shop()} daily cap"
    return table([[f"{day:02}/03/2024", text, "8.10", "Travel"] for day in range(1, words.rng.randint(15, 31))])


def weekly_invoice(words: Words) -> str:
    text = words.phrase(5, 8)
    lines = range(1, words.rng.randint(8, 52))
    if words.rng.random() < 0.5:
        return "\n".join(f"Consulting, {text}, week {number}, 40 hours at 120.00" for number in lines)
    return table([[str(number), f"Consulting, {text}, week {number}", "40", "120.00", "4,800.00"] for number in lines])


def timetable(words: Words) -> str:
    line, a, b = words.rng.randint(1, 300), words.city(), words.city()
    rows = [
        [str(line), f"{a} Central Station", words.time(), f"{b} Market Square", words.time(), "daily"]
        for _ in range(words.rng.randint(10, 60))
    ]
    return table(rows) if words.rng.random() < 0.5 else "\n".join(" ".join(cells) for cells in rows)


def log_file(words: Words) -> str:
    text, draw = words.phrase(4, 8), words.rng.randint
    return "\n".join(
        f"2024-03-{draw(1, 28):02} {words.time()}:{draw(0, 59):02} INFO {text} from 10.0.{draw(0, 255)}.{draw(0, 255)}"
        for _ in range(draw(10, 70))
    )


def equal_items(words: Words) -> str:
    """A list whose entries differ in their number only."""
    text = words.rng.choice(
        ["not used", "see above", "Reserve seat", "Signature of witness: ________ Date: ________", "Day {0}: no rain"]
    )
    return "\n".join(f"{number}. {text.format(number)}" for number in range(1, words.rng.randint(10, 60)))


def numbered_blanks(words: Words) -> str:
    if words.rng.random() < 0.5:
        return table([[str(number), "", "", ""] for number in range(1, words.rng.randint(10, 60))])
    return "\n".join(f"{number}. {'_' * 40}" for number in range(1, words.rng.randint(10, 60)))


def number_chart(words: Words) -> str:
    last = words.rng.choice([50, 100, 120])
    numbers = [str(number) for number in range(1, last + 1)]
    rows = [numbers[at : at + 10] for at in range(0, last, 10)]
    return words.rng.choice(
        [table(rows), "\n".join(" ".join(each) for each in rows), "\n".join(numbers), ", ".join(numbers)]
    )


def times_table(words: Words) -> str:
    size = words.rng.choice([10, 12, 15])
    if words.rng.random() < 0.5:
        return table([[str(a * b) for b in range(1, size + 1)] for a in range(1, size + 1)])
    return "\n".join(f"{a} × {b} = {a * b}" for a in range(1, size + 1) for b in range(1, size + 1))


def year(words: Words) -> str:
    months = []
    for month in MONTHS:
        days = [""] * words.rng.randint(0, 6) + [str(day) for day in range(1, 32)]
        days += [""] * (-len(days) % 7)
        months.append(
            f"## {month}\n\n" + table([[d[:2] for d in DAYS], *(days[at : at + 7] for at in range(0, len(days), 7))])
        )
    return "\n\n".join(months)


def matrix(words: Words) -> str:
    rows, columns = words.rng.randint(3, 25), words.rng.randint(3, 20)
    one = words.rng.random() < 0.5
    lines = [" & ".join("1" if one and at == column else "0" for column in range(columns)) for at in range(rows)]
    end = words.rng.choice([" \\\\\n", " \\\\ "])
    return "\\[\n\\left[ \\begin{array}{" + "c" * columns + "}\n" + end.join(lines) + "\n\\end{array} \\right]\n\\]"


def spaced_formula(words: Words) -> str:
    gap = words.rng.choice(["\\quad ", "\\qquad ", "\\ ", "& "]) * words.rng.randint(2, 12)
    return "\n".join(
        f"\\[ {words.word()[0]}_{{{n}}} = {words.rng.randint(1, 99)} {gap} ({n}) \\]"
        for n in range(1, words.rng.randint(4, 25))
    )


def zeros_column(words: Words) -> str:
    return "\n".join(
        [words.rng.choice(["0", "0.00", "-", "n/a", "nil", "yes", "do.", "ditto"])] * words.rng.randint(10, 80)
    )


def zeros_grid(words: Words) -> str:
    return "\n".join(
        [words.rng.choice([" ", "  ", "\t"]).join(["0"] * words.rng.randint(4, 40))] * words.rng.randint(5, 80)
    )


def mixed_column(words: Words) -> str:
    own = words.rng.choice(
        [
            ["yes", "no"],
            ["present", "absent"],
            ["M", "F"],
            ["true", "false"],
            ["passed", "failed"],
            ["Sales", "Purchasing", "Research"],
        ]
    )
    return "\n".join(words.rng.choice(own) for _ in range(words.rng.randint(20, 100)))


def number_columns(words: Words) -> str:
    return "\n".join(
        " ".join(words.amount() for _ in range(words.rng.randint(1, 8))) for _ in range(words.rng.randint(10, 60))
    )


def binary(words: Words) -> str:
    between, width = words.rng.choice(["", " "]), words.rng.randint(16, 64)
    return "\n".join(between.join(words.rng.choices("01", k=width)) for _ in range(words.rng.randint(8, 50)))


def genome(words: Words) -> str:
    unit = words.rng.choice(["CAG", "AT", "GGC", "TTAGGG"])
    parts = ["".join(words.rng.choices("ACGT", k=60)) for _ in range(words.rng.randint(5, 40))]
    parts.insert(3, unit * words.rng.randint(10, 60))
    parts.append("A" * words.rng.randint(20, 150))
    return words.rng.choice(["\n", ""]).join(parts)


def masks(words: Words) -> str:
    mask = words.rng.choice(["XXXX XXXX XXXX XXXX", "xxxxxxxxxxxx", "████████████", "*****", "0000 0000 0000"])
    return (
        "\n".join(f"{words.name()}: {mask}" for _ in range(words.rng.randint(5, 40)))
        + "\n"
        + "X" * words.rng.randint(20, 120)
    )


def glossary(words: Words) -> str:
    return "\n\n".join(
        f"**{words.word()}**, noun: a kind of {words.word()} used for {words.word()}; see also {words.word()}."
        for _ in range(words.rng.randint(10, 50))
    )


def index(words: Words) -> str:
    return "\n".join(
        f"{words.word()}, {', '.join(str(words.rng.randint(1, 400)) for _ in range(words.rng.randint(1, 6)))}"
        for _ in range(words.rng.randint(20, 100))
    )


def exam(words: Words) -> str:
    lines = ("\n" + "_" * words.rng.randint(50, 90)) * words.rng.randint(2, 8)
    return "\n\n".join(
        f"{n}. {words.phrase(6, 14).capitalize()}? ({words.rng.randint(1, 9)} marks){lines}"
        for n in range(1, words.rng.randint(4, 12))
    )


def minutes(words: Words) -> str:
    shape = "Moved by {}, seconded by {}, that the {} be approved. Carried unanimously."
    return "\n\n".join(
        f"{n}. " + shape.format(words.name(), words.name(), words.phrase(2, 4))
        for n in range(1, words.rng.randint(6, 25))
    )


def copybook(words: Words) -> str:
    """A pupil's line, written out twenty times."""
    text = words.phrase(4, 6).capitalize()[:28]
    return "\n".join([text + "."] * words.rng.randint(8, 20))


def chinese_form(words: Words) -> str:
    line = words.rng.choice(["姓名________ 性别____ 年龄____", "□是 □否 □不适用", "日期　　年　　月　　日", "同上"])
    return "\n".join([line] * words.rng.randint(5, 30))


def chinese_contents(words: Words) -> str:
    return "\n".join(
        f"第{n}章 {words.rng.choice(CHINESE)}{'…' * words.rng.randint(6, 40)}{n * 7}"
        for n in range(1, words.rng.randint(8, 40))
    )


def chinese_table(words: Words) -> str:
    cell = words.rng.choice(["无", "合格", "已完成", "0", "是"])
    return table([[str(n), words.rng.choice(CHINESE), cell, cell, cell] for n in range(1, words.rng.randint(8, 45))])


def labels(words: Words) -> str:
    """A sheet of equal labels, each with its box."""
    text = f"{words.name()}\n{words.rng.randint(1, 99)} {words.title()} Street\n{words.city()}"
    columns, rows = words.rng.randint(2, 3), words.rng.randint(4, 10)
    return "".join(
        tag("text", 40 + 310 * column, 20 + 95 * line, 330 + 310 * column, 100 + 95 * line) + text + "\n\n"
        for line in range(rows)
        for column in range(columns)
    )


def cards(words: Words) -> str:
    """A few equal cards without boxes."""
    text = f"{words.name()}\n{words.title()} Ltd.\nTel. 555 0{words.rng.randint(100, 199)}\n\n"
    return text * words.rng.randint(2, 8)


def tickets(words: Words) -> str:
    show = f"{words.title()}\nGrand Theatre {words.city()}\nSaturday, 14 June, 19:30\n"
    seat = "Row {} Seat {}\nPlease keep this until the end"
    draw = words.rng.randint
    return "\n\n".join(show + seat.format(draw(1, 30), draw(1, 60)) for _ in range(draw(3, 10)))


def two_copies(words: Words) -> str:
    """The same form twice on one sheet."""
    lines = [
        f"{words.word().capitalize()}: {words.phrase(1, 6)} {words.amount()}" for _ in range(words.rng.randint(4, 30))
    ]
    form = f"# {words.title()}\n\n" + "\n".join(lines) + f"\n\n{words.paragraph(words.rng.randint(80, 500))}\n\n"
    return form + words.rng.choice(["", "---\n\n"]) + form


def three_copies(words: Words) -> str:
    lines = [
        f"{words.word().capitalize()}: {words.phrase(1, 6)} {words.amount()}" for _ in range(words.rng.randint(4, 12))
    ]
    return "\n\n".join(
        f"Copy {n} of 3, for the {who}\n" + "\n".join(lines) for n, who in enumerate(("bank", "payer", "payee"), 1)
    )


def pictures(words: Words) -> str:
    """A page of pictures, each with its box and no words."""
    columns, rows = words.rng.randint(2, 6), words.rng.randint(2, 8)
    return "".join(
        tag("image", 20 + 960 // columns * column, 20 + 120 * line, 960 // columns * (column + 1), 120 + 120 * line)
        + "\n"
        for line in range(rows)
        for column in range(columns)
    )


def captions(words: Words) -> str:
    columns, rows = words.rng.randint(2, 4), words.rng.randint(3, 8)
    return "".join(
        tag("image", 20 + 240 * column, 20 + 115 * line, 250 + 240 * column, 90 + 115 * line)
        + "\n"
        + tag("image_caption", 20 + 240 * column, 92 + 115 * line, 250 + 240 * column, 110 + 115 * line)
        + f"Photograph {line * columns + column + 1}: view from the road\n\n"
        for line in range(rows)
        for column in range(columns)
    )


def boxed_lines(words: Words) -> str:
    """Each line with its box, as the prompt for lines writes it; many are equal."""
    own = [words.rng.choice(["n/a", "0.00", "yes", "Total", words.word()]) for _ in range(3)]
    return "".join(
        tag(words.rng.choice(own), 80, top, 300, top + 14).replace("\n", "") + "\n"
        for top in range(20, 960, words.rng.randint(16, 30))
    )


def inventory(words: Words) -> str:
    """Equal things, each in a row of its own."""
    thing = [words.phrase(1, 2), words.city(), words.rng.choice(["good", "used", "new"]), "1"]
    return table(
        [["Thing", "Place", "State", "Number"]]
        + [thing for _ in range(words.rng.randint(2, 7))]
        + [[words.word(), words.city(), "new", "2"]]
    )


def bills_of_quantities(words: Words) -> str:
    text = "Supply and installation of " + words.phrase(10, 25)
    rows = [
        [
            str(n),
            text if words.rng.random() < 0.7 else words.paragraph(150),
            "pcs",
            str(words.rng.randint(1, 9)),
            words.amount(),
        ]
        for n in range(1, words.rng.randint(6, 25))
    ]
    return table(rows)


def prose(words: Words) -> str:
    parts = [words.paragraph(words.rng.randint(100, 900)) for _ in range(words.rng.randint(3, 10))]
    return tagged(words, parts) if words.rng.random() < 0.5 else "\n\n".join(parts)


def puzzles(words: Words) -> str:
    line = "+---" * 9 + "+\n"
    grids = [
        line
        + "".join(
            "|" + "".join(f" {words.rng.choice('123456789    ')} |" for _ in range(9)) + "\n" + line for _ in range(9)
        )
        for _ in range(words.rng.randint(1, 4))
    ]
    return "\n".join(grids)


def stock_prices(words: Words) -> str:
    return table(
        [
            [words.title(), *(words.amount() for _ in range(6)), words.rng.choice(["buy", "hold", "sell"])]
            for _ in range(words.rng.randint(10, 45))
        ]
    )


def overloads(words: Words) -> str:
    """Lines of code that differ in a type."""
    name, types = words.word(), ["int", "long", "float", "double", "short", "char", "bool", "half"]
    lines = [
        f"inline {a} {name}(const {a}& value, {b} other) {{ return {name}_(value, other); }}"
        for a in types
        for b in types
    ]
    return "```\n" + "\n".join(lines[: words.rng.randint(8, 50)]) + "\n```"


def licences(words: Words) -> str:
    """The same long conditions for several works, each by somebody else."""
    terms = words.paragraph(words.rng.randint(300, 900)) + "\n\n" + words.paragraph(words.rng.randint(100, 700))
    names = words.rng.sample(["Abara", "Conti", "Duarte", "Eriksen", "Fofana"], words.rng.randint(2, 5))
    return "\n\n".join(f"Copyright (c) {words.rng.randint(1990, 2024)} {name}\n\n{terms}" for name in names)


def warnings(words: Words) -> str:
    """The same warning before each of several steps."""
    warning = f"WARNING: {words.paragraph(words.rng.randint(80, 400))}"
    steps = (words.paragraph(words.rng.randint(60, 400)) for _ in range(words.rng.randint(3, 8)))
    return "\n\n".join(f"{warning}\n\n{number}. {step}" for number, step in enumerate(steps, 1))


def long_cells(words: Words) -> str:
    """A remark of some length in two or three equal cells."""
    remark = words.paragraph(words.rng.randint(100, 300))
    return table([[words.word(), remark, words.amount()], [words.word(), *([remark] * words.rng.randint(2, 3))]])


def weeks(words: Words) -> str:
    return "\n".join(
        f"{day}: {words.rng.choice(['', 'closed', '9-17', '________'])}"
        for _ in range(words.rng.randint(2, 7))
        for day in DAYS
    )


def lessons(words: Words) -> str:
    subjects = ["Mathematics", "English", "History", "Sport", "Music", "free period"]
    rows = [
        [f"{hour}:00", *(words.rng.choice(subjects) for _ in range(5))]
        for _ in range(words.rng.randint(1, 5))
        for hour in range(8, 16)
    ]
    return table(rows)


def checklist(words: Words) -> str:
    """The same things to do in several places."""
    own = "\n".join(f"- [ ] {words.phrase(2, 6)}" for _ in range(words.rng.randint(3, 8)))
    return "\n\n".join(f"## {place}\n\n{own}" for place in words.rng.sample(CITIES.split(), words.rng.randint(2, 8)))


def dialogue(words: Words) -> str:
    a, b = words.name(), words.name()
    answers = ["Yes.", "No.", "I do not recall.", "Objection.", words.sentence()]
    return "\n\n".join(
        f"{words.rng.choice([a, b])}: {words.rng.choice(answers)}" for _ in range(words.rng.randint(15, 60))
    )


HONEST: dict[str, Callable[[Words], str]] = {
    make.__name__.replace("_", " "): make
    for make in (
        equal_cells,
        empty_form,
        labelled_zeros,
        attendance,
        presence,
        gantt,
        markdown_zeros,
        contents,
        appendices,
        ruled_lines,
        long_rule,
        fill_in,
        yes_no,
        asked_yes_no,
        survey,
        survey_table,
        braces,
        code,
        array,
        joined_array,
        hex_dump,
        bare_dump,
        ascii_art,
        guitar,
        song,
        nonsense_song,
        growing_song,
        counting_song,
        anaphora,
        one_word_changes,
        clauses,
        reserved,
        bibliography,
        ibid,
        statement,
        same_fare,
        weekly_invoice,
        timetable,
        log_file,
        equal_items,
        numbered_blanks,
        number_chart,
        times_table,
        year,
        matrix,
        spaced_formula,
        zeros_column,
        zeros_grid,
        mixed_column,
        number_columns,
        binary,
        genome,
        masks,
        glossary,
        index,
        exam,
        minutes,
        copybook,
        chinese_form,
        chinese_contents,
        chinese_table,
        labels,
        cards,
        tickets,
        two_copies,
        three_copies,
        pictures,
        captions,
        boxed_lines,
        inventory,
        bills_of_quantities,
        prose,
        puzzles,
        stock_prices,
        overloads,
        licences,
        warnings,
        long_cells,
        weeks,
        lessons,
        checklist,
        dialogue,
    )
}
