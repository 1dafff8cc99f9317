"""The core is built when asked, the best that runs here is loaded, and none that is stale."""

from __future__ import annotations

import shutil

import pytest

from dsocr.errors import InputError
from dsocr.kernels import build, library, limits
from dsocr.kernels.library import LEVELS, core, cpu_features, level

needs_core = pytest.mark.skipif(core() is None, reason="the core is not compiled here")
needs_compiler = pytest.mark.skipif(not any(map(shutil.which, build.COMPILERS)), reason="there is no C++ compiler")
PLAIN = LEVELS[-1]


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Sources and libraries in folders of their own: one small source, nothing built."""
    sources, libraries = tmp_path / "src", tmp_path / "lib"
    sources.mkdir()
    (sources / "answer.cpp").write_text('extern "C" int answer() { return 42; }')
    for module in (library, build):
        monkeypatch.setattr(module, "SOURCES", sources)
        monkeypatch.setattr(module, "LIBRARIES", libraries)
    caches = (library.level, library.load)
    for cached in caches:
        cached.cache_clear()
    yield sources
    for cached in caches:
        cached.cache_clear()


@needs_compiler
def test_what_is_built_is_loaded_the_best_first(elsewhere):
    assert core() is None
    level.cache_clear()
    library.load.cache_clear()
    built = build.build()
    assert {path.suffix for path in built} == {".so"}
    assert sorted(path for path in library.LIBRARIES.iterdir()) == sorted(built)  # nothing unfinished is left
    assert core().answer() == 42
    assert level() == next(known.name for known in LEVELS if known.features <= cpu_features())


@needs_compiler
def test_a_core_of_other_sources_is_not_loaded_and_goes_with_the_next_build(elsewhere):
    before = build.build()
    (elsewhere / "answer.cpp").write_text('extern "C" int answer() { return 43; }')
    assert core() is None
    library.load.cache_clear()
    level.cache_clear()
    build.build()
    assert core().answer() == 43
    assert not any(path.exists() for path in before)


@needs_compiler
def test_a_source_that_does_not_compile_is_named(elsewhere):
    (elsewhere / "answer.cpp").write_text("int answer() { return }")
    with pytest.raises(InputError, match=r"cannot compile the \w+ core:[\s\S]*answer.cpp"):
        build.build()
    assert not list(library.LIBRARIES.iterdir())


def test_without_a_compiler_the_way_out_is_said(monkeypatch):
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match=r"no C\+\+ compiler found .* install one"):
        build.build()


def test_every_machine_has_a_plain_core():
    assert (PLAIN.options, PLAIN.features) == ((), frozenset())
    assert build.levels_for("arm64") == [PLAIN]
    assert build.levels_for("x86_64") == list(LEVELS)


@needs_core
def test_the_limits_of_this_machine_are_numbers_that_a_machine_has(monkeypatch):
    monkeypatch.setattr(limits, "BUFFER", 1 << 26)
    rates = [limit() for limit in (limits.read_bandwidth, limits.fp32, limits.bf16, limits.int8)]
    assert all(rate is not None and 1e8 < rate < 1e14 for rate in rates)
