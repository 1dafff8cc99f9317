"""A page is known again by its pixels and the way it is read, and by nothing less; the cache stays small and harmless."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dsocr import Options, Page, Sampling
from dsocr.document import Transcript
from dsocr.engine.request import Delta
from dsocr.jobs.cache import Cache, Recipe, identify, make_recipe, reads_the_same
from dsocr.reading import Known, Reading

CPU = torch.device("cpu")
RECIPE = Recipe("one way\n", max_tokens=50, places=100)
PAGE = Page("a.pdf", 1, Image.new("RGB", (20, 10), "white"))


def reading(text: str = "words", finish_reason: str = "stop", tokens: int = 5, page: Page = PAGE) -> Reading:
    deltas = [Delta(text, tuple(range(tokens))), Delta("", (), finish_reason)]
    return Reading(page, iter(deltas))


def keep(cache: Cache, page: Page = PAGE, **ending) -> str:
    kept = reading(page=page, **ending)
    kept.key = cache.key(page)
    cache.keep(kept)
    return kept.key


@pytest.fixture
def cache(tmp_path) -> Cache:
    return Cache(tmp_path / "cache", RECIPE, 2**20, lambda line: pytest.fail(line))


def files(root: Path) -> list[Path]:
    return sorted(path for path in root.rglob("*") if path.is_file())


def test_a_page_that_could_not_be_read_again_may_be_another_time():
    recipe = replace(RECIPE, reads_again=True)
    page = reading().transcript()
    for confidence, attempts, final in ((0.5, 1, False), (0.5, 4, True), (0.95, 1, True), (None, 1, True)):
        transcript = replace(page, confidence=confidence, attempts=attempts)
        assert recipe.is_final(reading(), transcript) is final
        assert RECIPE.is_final(reading(), transcript)


class TestKeys:
    def test_pixels_size_recipe_and_text_layer_tell_pages_apart(self, tmp_path, cache):
        other_pixel = PAGE.image.copy()
        other_pixel.putpixel((3, 3), (255, 255, 254))
        pages = [
            PAGE,
            replace(PAGE, image=other_pixel),
            replace(PAGE, image=Image.new("RGB", (10, 20), "white")),
            replace(PAGE, text="a layer"),
        ]
        keys = {cache.key(page) for page in pages}
        keys.add(Cache(tmp_path, replace(RECIPE, text="another way\n"), 1, print).key(PAGE))
        assert len(keys) == 5
        assert cache.key(Page("b.png", 7, PAGE.image.copy(), dpi=300)) == cache.key(PAGE)

    @pytest.mark.parametrize(
        "changed",
        [
            {"mode": "small"},
            {"prompt": "free"},
            {"sampling": Sampling(max_tokens=9)},
            {"sampling": Sampling(ngram_rule="none")},
            {"sampling": Sampling(whitelist=frozenset({3, 1}))},
            {"rotate": "auto"},
        ],
    )
    def test_every_wish_that_changes_the_text_makes_another_recipe(self, checkpoint, changed):
        first = make_recipe(checkpoint, Options("tiny"), "c", "auto", CPU)
        assert make_recipe(checkpoint, replace(Options("tiny"), **changed), "c", "auto", CPU).text != first.text

    def test_a_recipe_knows_the_checkpoint_and_its_numbers_and_not_how_pages_are_opened(self, checkpoint):
        texts = [
            make_recipe(checkpoint, Options("tiny"), *rest, CPU).text
            for rest in (("c", "auto"), ("d", "auto"), ("c", "int8"), ("c", "bfloat16"))
        ]
        assert len(set(texts)) == 4
        opened = Options("tiny", pages="2-", dpi=99, password="secret", sampling=Sampling(), apart=True)
        assert make_recipe(checkpoint, opened, "c", "float32", CPU).text == texts[0]
        assert "secret" not in make_recipe(checkpoint, opened, "c", "auto", CPU).text

    def test_a_checkpoint_is_known_by_what_is_in_it(self, checkpoint, tmp_path):
        shutil.copytree(checkpoint, tmp_path / "copy")
        assert identify(tmp_path / "copy") == identify(checkpoint)
        for name in ("config.json", "tokenizer.json", "model.safetensors"):
            path = tmp_path / "copy" / name
            whole = path.read_bytes()
            path.write_bytes(whole[:-1] + b"?")
            assert identify(tmp_path / "copy") != identify(checkpoint)
            path.write_bytes(whole)

    def test_of_large_weights_the_beginning_the_size_and_the_time_are_enough(self, checkpoint, tmp_path, monkeypatch):
        monkeypatch.setattr("dsocr.jobs.cache._LARGE", 1000)
        monkeypatch.setattr("dsocr.jobs.cache._HEADER", 100)
        shutil.copytree(checkpoint, tmp_path / "copy")
        assert identify(tmp_path / "copy") == identify(checkpoint)
        os.utime(tmp_path / "copy" / "model.safetensors", (1, 1))
        assert identify(tmp_path / "copy") != identify(checkpoint)


class TestKeeping:
    @settings(deadline=None)
    @given(text=st.text(), reason=st.sampled_from(["stop", "length"]))
    def test_what_is_kept_comes_back(self, tmp_path_factory, text, reason):
        cache = Cache(tmp_path_factory.mktemp("cache"), RECIPE, 2**20, print)
        key = keep(cache, text=text, finish_reason=reason, tokens=50)
        status = {"stop": ("ok", None), "length": ("truncated", "the limit of new tokens was reached")}[reason]
        assert cache.find(key) == Known(text, *status, tokens=50)

    def test_a_page_that_is_not_there_is_not_known(self, cache):
        assert cache.find(cache.key(PAGE)) is None

    @pytest.mark.parametrize(
        ("status", "tokens", "kept"),
        [
            *(("ok", 3, True), ("blank", 0, True), ("looped", 9, True), ("failed", 3, False), ("skipped", 0, False)),
            # Cut short by its own limit, by the model's, and by a lack of memory.
            *(("truncated", 50, True), ("truncated", 100, True), ("truncated", 30, False)),
        ],
    )
    def test_only_a_page_that_would_read_the_same_again_is_kept(self, status, tokens, kept):
        ended = reading(tokens=tokens)
        list(ended)
        recipe = RECIPE if tokens < 100 else replace(RECIPE, max_tokens=None)
        assert recipe.is_final(ended, Transcript(1, 20, 10, "x", (), status)) == kept

    @pytest.mark.parametrize(
        ("sampling", "same"),
        [(None, True), (Sampling(), True), (Sampling(temperature=0.5), False), (Sampling(temperature=1, seed=3), True)],
    )
    def test_what_is_drawn_by_lot_is_not_looked_up(self, sampling, same):
        assert reads_the_same(Options(sampling=sampling)) == same

    def test_others_may_not_look_into_a_new_cache(self, cache, tmp_path):
        keep(cache)
        assert os.name != "posix" or (tmp_path / "cache").stat().st_mode & 0o077 == 0


class TestDamage:
    @pytest.mark.parametrize(
        "content",
        [b"", b"{", b"[]", b"null", b'"x"', b"\xff", b'{"raw": "x"}', b"[" * 100_000],
    )
    def test_a_damaged_page_is_read_again_and_mended(self, cache, tmp_path, content):
        key = keep(cache)
        (path,) = files(tmp_path)
        path.write_bytes(content)
        assert cache.find(key) is None
        assert cache.find(keep(cache)) == Known("words", "ok", None, 5)

    @pytest.mark.parametrize(
        "changed",
        [
            {"raw": 1},
            {"status": "fine"},
            {"reason": 1},
            {"tokens": "5"},
            {"attempts": None},
            {"more": 1},
            {"rotated": 45},
        ],
    )
    def test_a_page_of_another_shape_is_not_known(self, cache, tmp_path, changed):
        key = keep(cache)
        (path,) = files(tmp_path)
        path.write_text(json.dumps(json.loads(path.read_text()) | changed))
        assert cache.find(key) is None

    def test_a_disk_that_fails_is_told_once_and_costs_nothing(self, tmp_path):
        (tmp_path / "cache").write_text("a file where the folder should be")
        told: list[str] = []
        cache = Cache(tmp_path / "cache", RECIPE, 2**20, told.append)
        for _ in range(3):
            assert cache.find(keep(cache)) is None
        cache.close()
        assert len(told) == 1
        assert told[0].startswith("pages are not kept: ")


class TestSize:
    def numbered(self, number: int) -> Page:
        return replace(PAGE, image=Image.new("RGB", (20, 10), (number, 0, 0)))

    def test_the_pages_that_nobody_asked_for_longest_go_first(self, tmp_path):
        cache = Cache(tmp_path, RECIPE, 10 * 4096, print)
        keys = [keep(cache, self.numbered(number)) for number in range(10)]
        for age, path in enumerate(reversed([cache._path(key) for key in keys])):
            os.utime(path, (10_000 - age, 10_000 - age))
        assert cache.find(keys[0]) is not None
        newest = keep(cache, self.numbered(99))
        cache.close()
        left = [key for key in [*keys, newest] if cache.find(key)]
        assert left == [keys[0], *keys[3:], newest]

    def test_it_is_held_small_while_a_long_run_goes_on(self, tmp_path):
        cache = Cache(tmp_path, RECIPE, 20 * 4096, print)
        for number in range(120):
            keep(cache, self.numbered(number))
            assert len(files(tmp_path)) <= 20 + 3

    def test_what_killed_runs_left_aside_goes(self, tmp_path, cache):
        keep(cache)
        aside = files(tmp_path)[0].with_name(".elsewhere-77.part")
        aside.touch()
        os.utime(aside, (1, 1))
        cache.close()
        assert len(files(tmp_path)) == 1
