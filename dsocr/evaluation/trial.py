"""One benchmark from its folder to a report: its pages read in each mode, or found already read, then scored."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from dsocr.document.blocks import BLANK, FAILED, OK
from dsocr.errors import InputError
from dsocr.evaluation.predict import Prediction, Reader, Wanted, Way, check_way, predict, read_records
from dsocr.evaluation.report.writer import Fact, Report, Section
from dsocr.ocr import Options
from dsocr.version import __version__

PREDICTIONS = "predictions"  # the folder of predictions below that of a report, with one for each mode
_NAMED = 3  # missing files that a message names


@dataclass(frozen=True)
class Trial:
    """A benchmark's predictions, all made in one way: how they are called in tables, where they lie, what each took.

    records has nothing for predictions that came from elsewhere.
    """

    name: str
    folder: Path
    records: dict[str, Prediction]

    def vision_tokens(self, name: str) -> int:
        """Of one prediction; 0 where it is not known."""
        return self.records[name].vision_tokens if name in self.records else 0

    def tokens(self, name: str) -> int:
        """How many were written for one prediction; 0 where it is not known."""
        return self.records[name].tokens if name in self.records else 0


@dataclass(frozen=True)
class TokenCounter:
    """How long a text is for the model that reads: by its own tokenizer."""

    name: str
    count: Callable[[str], int]


class Benchmark(Protocol):
    """What a trial needs to know of a benchmark."""

    @property
    def title(self) -> str:
        """Its name."""

    @property
    def prompt(self) -> str:
        """The one it is read with, unless another one is asked for."""

    def wanted(self) -> tuple[Wanted, ...]:
        """The pages it asks about."""

    def missing(self, folder: Path) -> list[str]:
        """The names of the predictions that are expected in a folder and not there."""

    def sections(self, trials: Sequence[Trial], counter: TokenCounter) -> tuple[Section, ...]:
        """What came out, as tables and plots, beside what others have published."""

    def write_more(self, trials: Sequence[Trial], folder: Path) -> None:
        """Files beside the report, in the forms that the benchmark's own scripts take."""


def read_trials(
    benchmark: Benchmark,
    open_reader: Callable[[], Reader],
    options: Sequence[Options],
    way: Way,
    folder: Path,
    note: Callable[[str], None],
    move: Callable[[str], None],
) -> tuple[Trial, ...]:
    """Read the benchmark's pages with each of these options into folders below this one, named for their modes.

    Pages that are there already are not read again; the reader is opened once, where there are others. InputError,
    before anything is read, where one of the folders holds predictions made in another way. `note` is told what is
    done for each mode, `move` of each page.
    """
    wanted, reader = benchmark.wanted(), list[Reader]()
    places = [folder / PREDICTIONS / each.mode for each in options]
    for each, place in zip(options, places, strict=True):
        check_way(place, replace(way, mode=each.mode))

    def open_once() -> Reader:
        if not reader:
            reader.append(open_reader())
        return reader[0]

    trials = []
    for each, place in zip(options, places, strict=True):
        records = predict(open_once, wanted, each, replace(way, mode=each.mode), place, note, move)
        trials.append(Trial(each.mode, place, {record.name: record for record in records}))
    return tuple(trials)


def some_failed(trials: Sequence[Trial]) -> bool:
    """Whether any page could not be read."""
    return any(record.status == FAILED for trial in trials for record in trial.records.values())


def find_trials(benchmark: Benchmark, folders: Sequence[Path]) -> tuple[Trial, ...]:
    """Predictions that are there already, one folder for each way.

    InputError where a folder has none of them, or is there twice.
    """
    wanted = benchmark.wanted()
    same = [folder.resolve() for folder in folders]
    for folder in folders:
        if same.count(folder.resolve()) > 1:
            raise InputError(f"{folder} is given twice; give each folder of predictions once")
        if not folder.is_dir():
            raise InputError(f"{folder} is no folder; give the one that the predictions are in")
        missing = benchmark.missing(folder)
        if len(missing) == len(wanted):
            raise InputError(
                f"{folder} has none of the {len(wanted)} predictions that are expected, such as {_some(missing)}"
            )
    names = _short_names(folders)
    return tuple(
        Trial(name, folder, {record.name: record for record in read_records(folder)})
        for name, folder in zip(names, folders, strict=True)
    )


def report(benchmark: Benchmark, trials: Sequence[Trial], counter: TokenCounter, facts: Sequence[Fact] = ()) -> Report:
    """What came out of all trials of a benchmark."""
    wanted = benchmark.wanted()
    told = (
        *facts,
        Fact("pages", f"{len(wanted):,}"),
        *_endings(benchmark, trials),
        Fact("scored by", f"dsocr {__version__}"),
    )
    return Report(benchmark.title, told, benchmark.sections(trials, counter))


def _endings(benchmark: Benchmark, trials: Sequence[Trial]) -> list[Fact]:
    """Of each trial with predictions that are missing or did not end well, how many."""
    facts = []
    for trial in trials:
        missing = benchmark.missing(trial.folder)
        parts = [f"{len(missing)} predictions are missing ({_some(missing)}) and score nothing"] if missing else []
        parts += _statuses([trial.records[page.name] for page in benchmark.wanted() if page.name in trial.records])
        if parts:
            facts.append(Fact(trial.name, "; ".join(parts)))
    return facts


def _statuses(records: Sequence[Prediction]) -> list[str]:
    """How many pages ended in each way that is not well."""
    found = [record.status for record in records if record.status not in (OK, BLANK)]
    return [f"{found.count(status)} pages {status}" for status in dict.fromkeys(found)]


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def _short_names(folders: Sequence[Path]) -> list[str]:
    """The folders' own names, or their whole paths where two have the same one."""
    names = [folder.resolve().name for folder in folders]
    return names if len(set(names)) == len(names) else [str(folder) for folder in folders]
