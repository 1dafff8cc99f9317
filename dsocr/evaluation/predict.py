"""Reads a benchmark's pages into a folder of predictions, each page once: a killed run goes on where it stood."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Protocol

from dsocr.document import to_markdown
from dsocr.document.blocks import FAILED, OK
from dsocr.errors import FileAccessError, InputError
from dsocr.ocr import Options
from dsocr.pages import Source
from dsocr.reading import Reading, SourceEnd

WAY_FILE, RECORDS_FILE = "way.json", "predictions.jsonl"


class Reader(Protocol):
    """Whatever reads pages: a checkpoint here, or one that is asked over a network."""

    def readings_of(self, sources: Iterable[Source], options: Options) -> Generator[Reading | SourceEnd, None, None]:
        """A Reading for each page of each source, in order, each source followed by its SourceEnd."""


@dataclass(frozen=True)
class Wanted:
    """A page to be read: its file, its number there, and its prediction's path below the folder, without ".md"."""

    name: str
    file: Path
    number: int = 1


@dataclass(frozen=True)
class Way:
    """How pages are read: predictions made in different ways do not belong in one folder.

    What a folder does not tell was as by default.
    """

    model: str
    mode: str
    prompt: str
    dtype: str = "auto"
    max_tokens: int | None = None
    loops: str = "rescue"


@dataclass(frozen=True)
class Prediction:
    """How reading a page ended and what it took; vision tokens as the paper counts them."""

    name: str
    status: str
    reason: str | None
    tokens: int
    vision_tokens: int


def predict(
    open_reader: Callable[[], Reader],
    wanted: Sequence[Wanted],
    options: Options,
    way: Way,
    folder: Path,
    note: Callable[[str], None],
    move: Callable[[str], None],
) -> tuple[Prediction, ...]:
    """Write <name>.md for each page wanted, unless it is there already; what reading each came to.

    The reader is opened only where there is something to read. A page that cannot be read has an empty file, so that
    no scorer passes over it, and is tried again by the next run. InputError: files are missing, or the folder holds
    predictions made in another way. `note` is told how much there is to read, `move` of each page.
    """
    check_files([page.file for page in wanted])
    _check_names(wanted)
    try:
        _claim(folder, way)
        known = {record.name: record for record in read_records(folder) if record.status != FAILED}
        known = {name: record for name, record in known.items() if _file(folder, name).exists()}
        left = [page for page in wanted if page.name not in known]
        if left:
            told = f"{len(wanted) - len(left)} pages are there, " if known else ""
            note(f"{way.mode}: {told}{len(left)} to read")
            known |= {record.name: record for record in _read(open_reader(), left, options, folder, move)}
    except OSError as error:
        raise FileAccessError(f"{folder} cannot be used ({error.strerror})") from None
    return tuple(known[page.name] for page in wanted)


def read_records(folder: Path) -> tuple[Prediction, ...]:
    """What reading each page came to, as a run has noted it; nothing of predictions that came from elsewhere."""
    path = folder / RECORDS_FILE
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return tuple(record for record in map(_parse, lines) if record)


def check_way(folder: Path, way: Way) -> None:
    """InputError where the folder holds predictions made in another way."""
    path = folder / WAY_FILE
    try:
        if not path.exists():
            return
        found = asdict(Way(**json.loads(path.read_text(encoding="utf-8"))))
    except OSError as error:
        raise FileAccessError(f"{path} cannot be read ({error.strerror})") from None
    except (ValueError, TypeError):
        raise InputError(f"{path} does not say how these predictions were made; use another folder") from None
    other = next((name for name, asked in asdict(way).items() if found[name] != asked), None)
    if other:
        raise InputError(
            f"{folder} holds predictions made with {other} {_told(found[other])}, not {_told(getattr(way, other))}; "
            "use another folder"
        )


def _told(value: object) -> str:
    return "left open" if value is None else repr(value)


def check_files(files: Sequence[Path]) -> None:
    """InputError where any is missing: which is expected, and how many more."""
    missing = [file for file in files if not file.is_file()]
    if missing:
        more = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise InputError(f"{missing[0]} is missing{more}: the benchmark asks about {len(files)} pages")


def _check_names(wanted: Sequence[Wanted]) -> None:
    """InputError where a benchmark has given a page a name that leads out of the folder."""
    outside = next(
        (page.name for page in wanted if ".." in Path(page.name).parts or Path(page.name).is_absolute()), None
    )
    if outside:
        raise InputError(f"the benchmark names a page {outside!r}, which would lie outside the folder of predictions")


def _read(
    reader: Reader, left: Sequence[Wanted], options: Options, folder: Path, move: Callable[[str], None]
) -> Iterator[Prediction]:
    sources = list(dict.fromkeys(page.file for page in left))
    names = {(page.file, page.number): page.name for page in left}
    done = 0
    with (folder / RECORDS_FILE).open("a", encoding="utf-8") as records:
        records.write("\n" if records.tell() else "")  # a killed run may have left half a line
        for prediction, text in _predictions(reader, sources, names, options):
            path = _file(folder, prediction.name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            records.write(json.dumps(asdict(prediction), ensure_ascii=False) + "\n")
            records.flush()
            done += 1
            move(f"{done} of {len(left)}: {prediction.name}, {_ending(prediction)}")
            yield prediction


def _predictions(
    reader: Reader, sources: Sequence[Path], names: dict[tuple[Path, int], str], options: Options
) -> Iterator[tuple[Prediction, str]]:
    """Of every name, in the order of the pages; pages that nobody wants are passed over."""
    left = dict(names)
    ended = 0
    for step in reader.readings_of(sources, options):
        if isinstance(step, Reading):
            name = left.pop((sources[ended], step.page.number), None)
            if name is not None:
                yield _of(name, step)
            continue
        why = str(step.error) if step.error else "the file has no such page"
        lost = [key for key in left if key[0] == sources[ended]]
        for key in lost:
            yield Prediction(left.pop(key), FAILED, why, 0, 0), ""
        ended += 1


def _of(name: str, reading: Reading) -> tuple[Prediction, str]:
    transcript = reading.transcript(keep_image=False)
    # How the page ended is told in the records: in its text, it would be scored.
    text = to_markdown(replace(transcript, status=OK, reason=None))
    stats = reading.stats
    return Prediction(name, transcript.status, transcript.reason, reading.tokens, stats.vision_tokens), text


def _claim(folder: Path, way: Way) -> None:
    """Note in the folder how its pages are read."""
    check_way(folder, way)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / WAY_FILE
    if not path.exists():
        path.write_text(json.dumps(asdict(way), indent=1) + "\n", encoding="utf-8")


def _file(folder: Path, name: str) -> Path:
    return folder / f"{name}.md"


def _parse(line: str) -> Prediction | None:
    """A line that a killed run left half written is none."""
    try:
        return Prediction(**json.loads(line))
    except (ValueError, TypeError):
        return None


def _ending(prediction: Prediction) -> str:
    why = f" ({prediction.reason})" if prediction.reason else ""
    return f"{prediction.status}{why}, {prediction.tokens} tokens"
