"""A job from what was asked for to its exit code: what a run needs is opened, used and closed here."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

from dsocr.errors import FileAccessError, InputError
from dsocr.jobs.cache import Cache, reads_the_same
from dsocr.jobs.cluster import Cluster
from dsocr.jobs.forms import Wishes
from dsocr.jobs.manifest import NAME, Facts, Manifest
from dsocr.jobs.outputs import Folder, Printer
from dsocr.jobs.plan import HISTORY, add_pace, read_pace, tell_plan
from dsocr.jobs.progress import Progress
from dsocr.jobs.readers import Reader, about
from dsocr.jobs.run import Output, Run
from dsocr.jobs.summary import show_left_out
from dsocr.ocr import Options, choose_device
from dsocr.pages.inputs import Input, LeftOut
from dsocr.version import __version__


@dataclass(frozen=True)
class Job:
    """What a person asked for.

    model, device and dtype: as they were asked for. folder: for the answers, None where they are printed. manifest:
    None where it has its usual place, or none. cache: None where nothing is kept, with its limit in bytes.
    """

    inputs: tuple[Input, ...]
    options: Options
    model: str
    device: str
    dtype: str
    folder: Path | None
    formats: tuple[str, ...]
    wishes: Wishes
    manifest: Path | None
    cache: Path | None
    cache_limit: int
    skip_existing: bool
    left_out: LeftOut = field(default_factory=LeftOut)
    elsewhere: bool = False  # the pages are read by servers or by a cluster

    def check(self) -> None:
        """InputError for wishes that do not go together; asked before a model is loaded in vain."""
        if self.skip_existing and self.folder is None:
            raise InputError("--skip-existing looks for answers in a folder: add -o DIR")
        if self.folder and os.path.lexists(self.folder) and not os.path.isdir(self.folder):
            raise FileAccessError(f"{self.folder}: cannot be written (it is no folder, and -o wants one)")

    def facts(self, device: str, checkpoint: str | None = None) -> Facts:
        """What all pages will have in common."""
        asked = self.options
        return Facts(self.model, asked.mode, asked.prompt, device, self.dtype, __version__, checkpoint)


@dataclass(frozen=True)
class Voice:
    """The ways to reach the person: answers, lines on the side, figures, and a line that moves where one is shown."""

    say: Callable[[str], None]
    note: Callable[[str], None]
    stats: Callable[[str], None]
    show_line: Callable[[str], None] | None = None


def open_output(job: Job, say: Callable[[str], None]) -> Output:
    """Where the answers go; InputError (FileAccessError) if that cannot be."""
    if job.folder:
        return Folder(job.folder, job.formats, job.wishes, job.options.pages)
    # Where nobody looks, a page that may be read again comes when it is whole.
    live = sys.stdout.isatty() or not job.options.reads_again
    return Printer(job.formats, say, job.wishes, live=live)


def choose_inputs(job: Job, output: Output | None) -> tuple[tuple[Input, ...], str | None]:
    """The inputs that are no answers of an earlier run, and what is left out, in words.

    What is written from now on will not be called as one of the inputs is.
    """
    files, folders, links = job.left_out.files, job.left_out.folders, job.left_out.links
    if not isinstance(output, Folder):
        return job.inputs, show_left_out(files, len(folders), len(links), 0)
    answers = output.answers
    kept = tuple(each for each in job.inputs if os.path.isdir(each.source) or not answers.is_answer(each.source))
    answers.protect(each.source for each in kept)
    files = [file for file in files if not answers.is_answer(file)]
    folders = [folder for folder in folders if not answers.is_answer(folder)]
    links = [link for link in links if not answers.is_answer(link)]
    return kept, show_left_out(files, len(folders), len(links), len(job.inputs) - len(kept))


def plan(job: Job, voice: Voice) -> int:
    """Tell what a run would do, and do nothing; gives back the exit code."""
    pace = None  # of others it is not known before they are asked who they are
    if job.cache and not job.elsewhere:
        pace = read_pace(job.cache / HISTORY, job.facts(choose_device(job.device).type))
    # A folder that is not there yet has no answers, and must not come to be by being asked.
    output = open_output(job, voice.say) if job.folder and job.folder.is_dir() else None

    def is_there(each: Input) -> bool:
        return (
            job.skip_existing and output is not None and output.is_written(output.choose_name(each.name, each.source))
        )

    inputs, left_out = choose_inputs(job, output)
    if left_out:
        voice.note(left_out)
    return tell_plan(inputs, job.options, is_there, pace, lambda line: voice.say(line + "\n"), voice.note)


def run(job: Job, load: Callable[[], Reader], voice: Voice) -> int:
    """Read it all with the reader that `load` gives, whose network need not be there yet; gives back the exit code."""
    output = open_output(job, voice.say)
    inputs, left_out = choose_inputs(job, output)
    if left_out:
        voice.note(left_out)
    path = job.manifest or (job.folder / NAME if job.folder else None)
    with ExitStack() as closed_at_the_end:
        manifest = closed_at_the_end.enter_context(closing(Manifest(path))) if path else None
        reader = load()
        if isinstance(reader, Cluster):
            closed_at_the_end.enter_context(closing(reader))
        who = about(reader, job.model, job.device, job.dtype, job.options)
        facts = replace(job.facts(who.device, who.checkpoint), model=who.model)
        cache = None
        if job.cache and reads_the_same(job.options):
            kept = Cache(job.cache, who.recipe, job.cache_limit, voice.note)
            cache = closed_at_the_end.enter_context(closing(kept))
        reading = Run(
            reader,
            output,
            job.options,
            facts,
            voice.note,
            voice.stats,
            progress=Progress(voice.show_line),
            shelf=cache,
            manifest=manifest,
            skip_existing=job.skip_existing,
        )
        reading.summary.left_out = left_out
        heard = True
        try:
            return reading.read(inputs)
        except BrokenPipeError:  # whoever read our answers has had enough
            heard = False
            raise
        finally:
            if heard and isinstance(output, Folder) and (unused := output.show_unused()):
                voice.note(unused)
            if heard and (job.folder or reading.summary.total > 1):
                for line in reading.summary.lines(reading.seconds, path if reading.manifest else None):
                    voice.note(line)
                if path and not reading.manifest:
                    voice.note(f"the manifest is not whole: {path}")
            if job.cache and reading.pace:
                add_pace(job.cache / HISTORY, facts, reading.pace)
