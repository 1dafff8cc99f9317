"""What others have published, to stand beside what is measured here: rows of papers, each table with its source."""

from __future__ import annotations

from dataclasses import astuple, dataclass, fields

from dsocr.evaluation.report.table import Cell, Column, Table

PAPER = "DeepSeek-OCR: Contexts Optical Compression, arXiv 2510.18234"
SECOND_PAPER = "DeepSeek-OCR 2, arXiv 2601.20552"


@dataclass(frozen=True)
class FoxMode:
    """A mode's "precision" in per cent, which the paper does not define, and text tokens per vision token."""

    precision: float
    ratio: float


@dataclass(frozen=True)
class FoxRow:
    """English pages of Fox with this many text tokens, by the model's own tokenizer, read without layout."""

    low: int
    high: int
    tiny: FoxMode  # 64 vision tokens
    small: FoxMode  # 100
    pages: int


@dataclass(frozen=True)
class Edits:
    """Normalised edit distances, the lower the better; all: the mean of the four."""

    all: float
    text: float
    formula: float
    table: float
    order: float


@dataclass(frozen=True)
class LanguagesRow:
    """OmniDocBench 1.0: the 981 pages' English and Chinese ones."""

    model: str
    tokens: int | None  # vision tokens of a page
    english: Edits
    chinese: Edits
    valid_tokens: int | None = None  # those of them that see the page and not its margin


@dataclass(frozen=True)
class DocumentTypesRow:
    """OmniDocBench 1.0 by type of document: edit distances of one of DeepSeek-OCR's modes."""

    mode: str
    book: float
    slides: float
    financial_report: float
    textbook: float
    exam_paper: float
    magazine: float
    academic_paper: float
    notes: float
    newspaper: float
    all: float


@dataclass(frozen=True)
class OverallRow:
    """OmniDocBench 1.5: the overall score, and its parts where they are published."""

    model: str
    overall: float
    source: str = ""
    text: float | None = None
    formula_cdm: float | None = None
    table_teds: float | None = None
    table_teds_structure: float | None = None
    order: float | None = None


@dataclass(frozen=True)
class OlmocrRow:
    """olmOCR-bench: the mean of the categories in per cent."""

    model: str
    score: float


# Table 2 of the paper.
FOX = (
    FoxRow(600, 700, FoxMode(96.5, 10.5), FoxMode(98.5, 6.7), 7),
    FoxRow(700, 800, FoxMode(93.8, 11.8), FoxMode(97.3, 7.5), 28),
    FoxRow(800, 900, FoxMode(83.8, 13.2), FoxMode(96.8, 8.5), 28),
    FoxRow(900, 1000, FoxMode(85.9, 15.1), FoxMode(96.8, 9.7), 14),
    FoxRow(1000, 1100, FoxMode(79.3, 16.5), FoxMode(91.5, 10.6), 11),
    FoxRow(1100, 1200, FoxMode(76.4, 17.7), FoxMode(89.8, 11.3), 8),
    FoxRow(1200, 1300, FoxMode(59.1, 19.7), FoxMode(87.1, 12.6), 4),
)

# Of the paper: model, vision tokens (after the stroke, those that see the page, not its margin), English, Chinese; of
# each all, text, formula, table, order.
_LANGUAGES = """\
Dolphin                        | -       | .356 .352 .465 .258 .350 | .440 .440 .604 .367 .351
Marker                         | -       | .296 .085 .374 .609 .116 | .497 .293 .688 .678 .329
Mathpix                        | -       | .191 .105 .306 .243 .108 | .364 .381 .454 .320 .300
MinerU-2.1.1                   | -       | .162 .072 .313 .166 .097 | .244 .111 .581 .150 .136
MonkeyOCR-1.2B                 | -       | .154 .062 .295 .164 .094 | .263 .179 .464 .168 .243
PPstructure-v3                 | -       | .152 .073 .295 .162 .077 | .223 .136 .535 .111 .110
Nougat                         | 2352    | .452 .365 .488 .572 .382 | .973 .998 .941 1.00 .954
SmolDocling                    | 392     | .493 .262 .753 .729 .227 | .816 .838 .997 .907 .522
InternVL2-76B                  | 6790    | .440 .353 .543 .547 .317 | .443 .290 .701 .555 .228
Qwen2.5-VL-7B                  | 3949    | .316 .151 .376 .598 .138 | .399 .243 .500 .627 .226
olmOCR                         | 3949    | .326 .097 .455 .608 .145 | .469 .293 .655 .652 .277
GOT-OCR2.0                     | 256     | .287 .189 .360 .459 .141 | .411 .315 .528 .520 .280
OCRFlux-3B                     | 3949    | .238 .112 .447 .269 .126 | .349 .256 .716 .162 .263
GPT-4o                         | -       | .233 .144 .425 .234 .128 | .399 .409 .606 .329 .251
InternVL3-78B                  | 6790    | .218 .117 .380 .279 .095 | .296 .210 .533 .282 .161
Qwen2.5-VL-72B                 | 3949    | .214 .092 .315 .341 .106 | .261 .180 .434 .262 .168
dots.ocr                       | 3949    | .182 .137 .320 .166 .182 | .261 .229 .468 .160 .261
Gemini2.5-Pro                  | -       | .148 .055 .356 .130 .049 | .212 .168 .439 .119 .121
MinerU2.0                      | 6790    | .133 .045 .273 .150 .066 | .238 .115 .506 .209 .122
dots.ocr, 200 dpi              | 5545    | .125 .032 .329 .099 .040 | .160 .066 .416 .092 .067
DeepSeek-OCR Tiny              | 64      | .386 .373 .469 .422 .283 | .361 .307 .635 .266 .236
DeepSeek-OCR Small             | 100     | .221 .142 .373 .242 .125 | .284 .240 .530 .159 .205
DeepSeek-OCR Base              | 256/182 | .137 .054 .267 .163 .064 | .240 .205 .474 .100 .181
DeepSeek-OCR Large             | 400/285 | .138 .054 .277 .152 .067 | .208 .143 .461 .104 .123
DeepSeek-OCR Gundam            | 795     | .127 .043 .269 .134 .062 | .181 .097 .432 .089 .103
DeepSeek-OCR Gundam-M, 200 dpi | 1853    | .123 .049 .242 .147 .056 | .157 .087 .377 .080 .085
"""

# Of the paper. Gundam's 0.289 for financial reports stands there; by its neighbours it is a misprint of 0.029.
DOCUMENT_TYPES = (
    DocumentTypesRow("Tiny", 0.147, 0.116, 0.207, 0.173, 0.294, 0.201, 0.395, 0.297, 0.94, 0.32),
    DocumentTypesRow("Small", 0.085, 0.111, 0.079, 0.147, 0.171, 0.107, 0.131, 0.187, 0.744, 0.205),
    DocumentTypesRow("Base", 0.037, 0.08, 0.027, 0.1, 0.13, 0.073, 0.052, 0.176, 0.645, 0.156),
    DocumentTypesRow("Large", 0.038, 0.108, 0.022, 0.084, 0.109, 0.06, 0.053, 0.155, 0.353, 0.117),
    DocumentTypesRow("Gundam", 0.035, 0.085, 0.289, 0.095, 0.094, 0.059, 0.039, 0.153, 0.122, 0.083),
    DocumentTypesRow("Gundam-M", 0.052, 0.09, 0.034, 0.091, 0.079, 0.079, 0.048, 0.1, 0.099, 0.077),
)

# Of version 1.5; a source where it is known who measured.
OVERALL = (
    OverallRow("GLM-OCR", 94.62, "its maker"),
    OverallRow("PaddleOCR-VL-1.5", 94.5, "its maker"),
    OverallRow("Unlimited-OCR", 93.23, "its paper"),
    OverallRow("Qianfan-OCR", 93.12),
    OverallRow("FireRed-OCR", 92.94),
    OverallRow("PaddleOCR-VL", 92.86),
    OverallRow("DeepSeek-OCR 2", 91.09, SECOND_PAPER),
    OverallRow("MinerU2.5", 90.67),
    OverallRow("DeepSeek-OCR 2", 89.17, "OmniDocBench's table, as cited with Unlimited-OCR"),
    OverallRow("Qwen3-VL-235B", 89.15),
    OverallRow("dots.ocr", 88.41),
    OverallRow("Gemini-2.5-Pro", 88.03),
    OverallRow("DeepSeek-OCR, 9 crops", 87.36, SECOND_PAPER, 0.073, 84.14, 85.25, 89.01, 0.085),
    OverallRow("DeepSeek-OCR", 87.01),
    OverallRow("olmOCR", 81.79),
    OverallRow("marker-1.8.2", 71.3),
)

# The table of the benchmark's own repository and the models' own papers.
OLMOCR = (
    OlmocrRow("Infinity-Parser2-Pro", 87.6),
    OlmocrRow("Mistral OCR 4", 85.2),
    OlmocrRow("dots.mocr", 83.9),
    OlmocrRow("LightOnOCR-2-1B", 83.2),
    OlmocrRow("Chandra 0.1", 83.1),
    OlmocrRow("olmOCR 0.4", 82.4),
    OlmocrRow("PaddleOCR-VL", 80.0),
    OlmocrRow("dots.ocr", 79.1),
    OlmocrRow("marker 1.10.1", 76.1),
    OlmocrRow("DeepSeek-OCR", 75.7),
    OlmocrRow("MinerU 2.5.4", 75.2),
    OlmocrRow("Mistral OCR", 72.0),
    OlmocrRow("Nanonets2", 69.5),
)


def fox_table() -> Table:
    """The paper's precision against compression."""
    rows = tuple(
        (f"{row.low}–{row.high}", row.pages, row.tiny.precision, row.tiny.ratio, row.small.precision, row.small.ratio)
        for row in FOX
    )
    modes = [Column(f"{mode}: {name}", ".1f") for mode in ("tiny", "small") for name in ("precision, %", "ratio")]
    note = (
        f"{PAPER}, table 2: English pages, read without layout. The paper defines no precision and has no script for "
        "it. Ratio: text tokens over 64 and 100 vision tokens; with line ends and separator there are 73 and 111."
    )
    return Table("Fox, as published", (Column("text tokens"), Column("pages"), *modes), rows, note)


def omnidocbench_table() -> Table:
    """The paper's edit distances of English and Chinese pages, version 1.0."""
    rows = tuple(
        (row.model, row.tokens, row.valid_tokens, *astuple(row.english), *astuple(row.chinese)) for row in OMNIDOCBENCH
    )
    parts = [Column(f"{language} {part.name}", ".3f") for language in ("English", "Chinese") for part in fields(Edits)]
    note = (
        f"{PAPER}: OmniDocBench 1.0, normalised edit distances, the lower the better. The order distances of dots.ocr "
        "are printed as its overall ones once more; by the other three they would be 0.105 and 0.187. Valid tokens are "
        "those that see the page and not its margin, where that is not all of them."
    )
    columns = Column("model"), Column("tokens"), Column("valid tokens")
    return Table("OmniDocBench by language, as published", (*columns, *parts), rows, note)


def document_types_table() -> Table:
    """The paper's edit distances by type of document, version 1.0."""
    types = [Column(part.name.replace("_", " "), ".3f") for part in fields(DocumentTypesRow)[1:]]
    note = f"{PAPER}. Gundam's 0.289 for financial reports stands there; by its neighbours it is 0.029."
    rows: tuple[tuple[Cell, ...], ...] = tuple(map(astuple, DOCUMENT_TYPES))
    return Table("OmniDocBench by type of document, as published", (Column("mode"), *types), rows, note)


def overall_table() -> Table:
    """Overall scores of version 1.5, best first."""
    rows = tuple(
        (row.model, row.overall, row.text, row.formula_cdm, *_tables(row), row.order, row.source) for row in OVERALL
    )
    columns = (
        Column("model"),
        Column("overall", ".2f"),
        Column("text edit distance", ".3f"),
        Column("CDM", ".2f"),
        Column("TEDS", ".2f"),
        Column("TEDS-S", ".2f"),
        Column("order edit distance", ".3f"),
        Column("measured by"),
    )
    note = (
        "OmniDocBench 1.5, from the models' papers and codesota.com. From one harness to another the same model "
        "differs by points."
    )
    return Table("OmniDocBench, as published", columns, rows, note)


def olmocr_table() -> Table:
    """Scores of olmOCR-bench, best first."""
    rows = tuple((row.model, row.score) for row in OLMOCR)
    note = (
        "From the benchmark's own repository and the models' papers. DeepSeek-OCR by category: arXiv maths 77.2, old "
        "scans' maths 73.6, tables 80.2, old scans 33.3, headers and footers 96.1, multi-column 66.4, long tiny text "
        "79.4, baseline 99.8."
    )
    return Table("olmOCR-bench, as published", (Column("model"), Column("score, %", ".1f")), rows, note)


def _read_languages(line: str) -> LanguagesRow:
    model, tokens, english, chinese = (part.strip() for part in line.split("|"))
    whole, _, valid = tokens.partition("/")
    counts = [int(count) if count.isdigit() else None for count in (whole, valid)]
    return LanguagesRow(model, counts[0], _read_edits(english), _read_edits(chinese), counts[1])


def _read_edits(figures: str) -> Edits:
    return Edits(*map(float, figures.split()))


def _tables(row: OverallRow) -> tuple[float | None, float | None]:
    return row.table_teds, row.table_teds_structure


OMNIDOCBENCH = tuple(map(_read_languages, _LANGUAGES.splitlines()))
