"""A recipe is read strictly: what is unknown, ill-typed or impossible is one line that says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsocr.errors import InputError
from dsocr.training.recipe import NOTHING, Stage
from dsocr.training.recipe_file import OWN_RECIPES, one_stage, parse_recipe, read_recipe
from dsocr.training.sheets.kinds import KINDS

WHOLE = """
folder = "out"
pairs = "pages"
prompts = ["free"]
[[stage]]
name = "all"
steps = 10
learning_rate = 1e-3
modes = { tiny = 0.5, base = 0.5 }
crops = { 128 = 1 }
stretch = [1, 2.5]
"""


def test_a_recipe_has_what_its_file_says():
    recipe = parse_recipe(WHOLE, "r.toml", {"seed": 5})
    stage = Stage("all", 10, 1e-3, modes={"tiny": 0.5, "base": 0.5}, crops={128: 1.0}, stretch=(1.0, 2.5))
    assert recipe.stage == (stage,)
    assert (recipe.folder, recipe.pairs, recipe.prompts, recipe.seed) == (Path("out"), Path("pages"), ("free",), 5)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("rate = 3", "r.toml: stage, 1: 'rate' is unknown; known: name, steps"),
        ("batch = 1.5", "r.toml: stage, 1: batch is 1.5; it must be a whole number"),
        ("batch = true", "batch is True; it must be a whole number"),
        ("sam = 1", "sam is 1; it must be true or false"),
        ("show = 'films'", "show is 'films'; known: crops, notes, pairs"),
        ("text = { random = 'much' }", "text.random is 'much'; it must be a number"),
        ("seen = 0", "stage 'all': seen is 0; it must be 1 or more"),
        ("seen = 2\nsam = true", "seen = 1 or sam = false"),
        ("guide = 1.0", "need drawn pages"),
        ("show = 'crops'", "crops have no text"),
        ("encoder = false\ndecoder = false", "nothing learns"),
        ("learning_rate = 2", "not TOML"),
        ("steps = ", "r.toml is not TOML"),
    ],
)
def test_what_cannot_be_is_one_line(line, said):
    with pytest.raises(InputError) as caught:
        parse_recipe(WHOLE + line, "r.toml", {})
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("top", "said"),
    [
        ("speed = 3", "'speed' is unknown"),
        ("seed = 'x'", "seed is 'x'; it must be a whole number"),
        ("prompts = 'free'", "prompts is 'free'; it must be a list"),
        ("precision = 'int8'", "known: auto, bfloat16, float32"),
        ("lora = 4\nstart = 'nothing'", "lora adapts a checkpoint"),
        ("keep_back = -1", "keep_back is -1"),
    ],
)
def test_what_cannot_be_at_the_top_is_one_line(top, said):
    with pytest.raises(InputError) as caught:
        parse_recipe(top + WHOLE.replace('prompts = ["free"]', ""), "r.toml", {})
    assert said in str(caught.value)


def test_a_mode_that_is_not_there_is_told():
    with pytest.raises(InputError, match="mode 'huge' is unknown"):
        parse_recipe(WHOLE.replace("tiny", "huge"), "r.toml", {})


def test_pages_of_your_own_need_their_folder():
    with pytest.raises(InputError, match="give their folder"):
        parse_recipe(WHOLE.replace('pairs = "pages"', ""), "r.toml", {})


def test_a_recipe_that_is_not_there_is_told(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_recipe(tmp_path / "none.toml", {})


def test_options_alone_make_one_stage():
    recipe = one_stage({"folder": Path("o"), "pairs": Path("p"), "lora": 4}, {"steps": 7}, "base")
    assert (recipe.lora, recipe.stage[0].steps, recipe.stage[0].modes) == (4, 7, {"base": 1.0})


def test_nano_has_a_recipe_from_nothing():
    recipe = read_recipe(OWN_RECIPES["nano"], {"folder": Path("elsewhere")})
    assert recipe.start == NOTHING
    assert recipe.folder == Path("elsewhere")
    assert [stage.show for stage in recipe.stage] == ["crops", "crops", "notes", "notes", "notes"]
    assert all(stage.seen == 3 for stage in recipe.stage if stage.show == "notes")


def test_nano_has_a_recipe_for_a_gpu_that_shows_every_kind_of_page_but_the_smallest():
    recipe = read_recipe(OWN_RECIPES["nano-gpu"], {})
    assert recipe.start == NOTHING
    assert {stage.show for stage in recipe.stage} == {"sheets"}
    assert set(recipe.stage[-1].kinds) == set(KINDS) - {"tiny"}
    assert all(stage.minutes for stage in recipe.stage)


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        (
            {"show": "sheets", "kinds": {"posters": 1.0}},
            "kind 'posters' is unknown; known: tiny, small, notes, letters",
        ),
        ({"show": "sheets", "kinds": {"tiny": 0.0}}, "kinds need shares above 0"),
    ],
)
def test_kinds_of_pages_must_be_known(stage, said):
    with pytest.raises(InputError, match=said):
        one_stage({"folder": Path("o"), "pairs": Path("p")}, stage, "base")
