"""Recipes are strict: what is wrong is named with file, line and key."""

from pathlib import Path

import pytest

from muster.images import recipe
from muster.model.errors import NotFoundError, RequestError

GOLDEN = Path(__file__).parent / "golden"
CASES = sorted((GOLDEN / "recipes").glob("*.yaml"))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.stem)
def test_a_bad_recipe_is_refused_with_file_line_and_key(case: Path, update_golden: bool) -> None:
    with pytest.raises(RequestError) as caught:
        recipe.parse(case.read_bytes(), case.name)
    if update_golden:
        case.with_suffix(".txt").write_text(f"{caught.value}\n")
    assert f"{caught.value}\n" == case.with_suffix(".txt").read_text()


@pytest.mark.parametrize("file", sorted(recipe.SHIPPED.glob("*.yaml")), ids=lambda file: file.stem)
def test_shipped_recipes_are_good_and_bear_their_files_name(file: Path) -> None:
    loaded = recipe.load(file)
    assert loaded.name == file.stem
    assert loaded.kernel is not None


def test_every_scalar_is_text_until_the_model_types_it() -> None:
    text = b"name: '2024.10'\nsource: {kind: debian, suite: sid}\nfiles: {etc/number: 00012345, etc/when: 2024-01-01}\n"
    loaded = recipe.parse(text, "r.yaml")
    assert loaded.files == {"etc/number": "00012345", "etc/when": "2024-01-01"}


def test_the_key_follows_the_meaning_not_the_name_or_the_spelling() -> None:
    one = recipe.parse(b"name: a\nsource: {kind: debian, suite: sid}\npackages: [x]\n", "r")
    same = recipe.parse(b"packages:\n- x\nsource:\n  suite: sid\n  kind: debian\nname: b\n", "r")
    other = recipe.parse(b"name: a\nsource: {kind: debian, suite: sid}\npackages: [y]\n", "r")
    assert one.key == same.key != other.key


def test_a_site_recipe_comes_before_the_shipped_one(tmp_path: Path) -> None:
    assert recipe.find("debian12", tmp_path) == recipe.SHIPPED / "debian12.yaml"
    (tmp_path / "debian12.yaml").touch()
    assert recipe.find("debian12", tmp_path) == tmp_path / "debian12.yaml"
    assert recipe.find("./debian12.yaml", tmp_path) == Path("debian12.yaml")


def test_an_unknown_recipe_names_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="debian12-tiny"):
        recipe.find("debain12", tmp_path)


def test_another_name_must_be_a_name() -> None:
    file = recipe.SHIPPED / "debian12.yaml"
    assert recipe.load(file, name="mine").name == "mine"
    with pytest.raises(RequestError, match="not a name"):
        recipe.load(file, name="../mine")
