"""Who reads for `dsocr eval`: a checkpoint that is loaded here or running servers, and how."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from dsocr.cli.options import check_engine

if TYPE_CHECKING:
    from dsocr.evaluation.report.writer import Fact
    from dsocr.evaluation.trial import TokenCounter
    from dsocr.ocr import OCR, Options
    from dsocr.ocr import Loops as WhatOfLoops
    from dsocr.remote import RemoteReader


@dataclass(frozen=True)
class Who:
    """Who reads: its name, and a way to it, which is taken when there is something to read."""

    name: str
    open: Callable[[], OCR | RemoteReader]


@dataclass(frozen=True)
class Asked:
    """What the commands that read have in common."""

    model: str | None = None
    device: str = "auto"
    dtype: str = "auto"
    batch: int | None = None
    max_tokens: int | None = None
    engine: Sequence[str] | None = None
    engine_key: str | None = None
    tokenizer: str | None = None
    loops: WhatOfLoops = "rescue"

    def options(self, modes: Sequence[str], prompt: str) -> tuple[Options, ...]:
        """How pages are read in each mode; InputError for what cannot be."""
        from dsocr.engine.request import Sampling
        from dsocr.ocr import Options

        sampling = Sampling(max_tokens=self.max_tokens)
        ways = tuple(Options(mode, prompt, sampling=sampling, loops=self.loops, unsure="keep") for mode in modes)
        for way in ways:
            way.check()
        return ways

    def who(self, ways: Sequence[Options], note: Callable[[str], None], mode_option: str = "--modes") -> Who:
        """The checkpoint here, or servers; they are found at once where only they can tell the model's name.

        InputError, at the latest from `open`, where no server reads in one of these ways. `note` is told of servers.
        """
        if not self.engine:
            from dsocr.ocr import load

            return Who(self.name, partial(load, self.name, self.device, self.dtype, batch=self.batch))
        check_engine(self.device, self.dtype)
        find = partial(self._find_servers, ways, note, mode_option)
        if self.model:
            return Who(self.model, find)
        reader = find()
        return Who(reader.model, lambda: reader)

    def counter(self) -> TokenCounter:
        """Counts text tokens as a checkpoint does, without its weights."""
        from dsocr.evaluation.trial import TokenCounter
        from dsocr.model.checkpoint import find_checkpoint
        from dsocr.model.tokenizer import Tokenizer

        name = self.tokenizer or self.name
        tokenizer = Tokenizer(find_checkpoint(name) / "tokenizer.json")
        return TokenCounter(f"the tokenizer of {name}", lambda text: len(tokenizer.encode(text, allow_special=False)))

    @property
    def name(self) -> str:
        """The checkpoint's here; what servers call theirs is no name here."""
        from dsocr.model.checkpoint import default_checkpoint

        return default_checkpoint() if self.engine or not self.model else self.model

    def _find_servers(self, ways: Sequence[Options], note: Callable[[str], None], mode_option: str) -> RemoteReader:
        from dsocr.remote import connect
        from dsocr.remote.reader import DEFAULT_BATCH

        batch = self.batch or DEFAULT_BATCH
        reader = connect(self.engine or (), self.model, key=self.engine_key, note=note, batch=batch)
        for way in ways:
            _check_servers(reader, way, mode_option)
        return reader


def describe(asked: Asked, who: Who, ways: Sequence[Options]) -> tuple[Fact, ...]:
    """What was asked for, for the report."""
    from dsocr.evaluation.report.writer import Fact as Told

    modes = ", ".join(way.mode for way in ways)
    facts = [Told("model", who.name), Told("mode", modes), Told("prompt", ways[0].prompt), Told("loops", asked.loops)]
    return tuple(facts if asked.engine else [*facts, Told("dtype", asked.dtype)])


def describe_servers(reader: OCR | RemoteReader) -> tuple[Fact, ...]:
    """Where it was read, and what the servers there are; nothing of a checkpoint here."""
    from dsocr.evaluation.report.writer import Fact as Told
    from dsocr.remote import RemoteReader

    if not isinstance(reader, RemoteReader):
        return ()
    return (Told("servers", ", ".join(f"{server.address} ({server.name})" for server in reader.servers)),)


def _check_servers(reader: RemoteReader, way: Options, mode_option: str) -> None:
    """InputError where no server reads in this way, with the modes that can be asked for instead."""
    from dsocr.engine.request import Sampling
    from dsocr.errors import InputError
    from dsocr.pages.modes import MODES
    from dsocr.remote.dialects import check_all

    prompt, sampling = way.full_prompt(), way.sampling or Sampling()
    try:
        check_all(reader.servers, way.mode, prompt, sampling)
    except InputError as error:
        reasons = ((mode, server.lacks(mode, prompt, sampling)) for mode in MODES for server in reader.servers)
        known = next((mode for mode, reason in reasons if reason is None), None)
        remedy = f"; give {mode_option} {known}" if known else ""
        raise InputError(f"{error}{remedy}") from None
