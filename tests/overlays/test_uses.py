"""What templates look at: never less than what can change their bytes, and for what is shipped not much more."""

from pathlib import Path

import pytest

from muster.overlays.compose import compose
from muster.overlays.library import SHIPPED, Overlays
from muster.overlays.uses import WHOLE, narrowed, uses
from tests.overlays.conftest import Write

CASES = [
    ("{{ image.name }}", {"image": {"name"}}),
    ("{{ image . name ~ node.fqdn }}", {"image": {"name"}, "node": {"fqdn"}}),
    ("{{ image['version'] }}", {"image": {WHOLE}}),
    ("{{ image|tojson }}", {"image": {WHOLE}}),
    ("{% set i = image %}{{ i.version }}", {"image": {WHOLE}}),
    ("{{ image.items() }}", {"image": {"items"}}),
    ("{% if image.features.resolved -%} x {%- endif %}", {"image": {"features"}}),
    ("image and node {{ 1 }} image.version", {}),
    ("{{ my.image.version }}{{ images }}{{ image_name }}", {}),
    ("{{ '}}' ~ image.version }}", {"image": {"version"}}),
    ("{{ '{{' ~ image.version }}", {"image": {"version"}}),
    ("{{ 'a }} b' ~ image.version ~ '{{' }}", {"image": {"version"}}),
    ("{{ 'a %} b' ~ image.version ~ '{%' ~ node.name }}", {"image": {"version"}, "node": {"name"}}),
    ("{{ 1 }} it's the image\n", {"image": {WHOLE}}),
    ("{# image.name #}", {}),
    ("{{ image.name", {"image": {"name"}}),
]


@pytest.mark.parametrize(("text", "expected"), CASES)
def test_of_a_template(tmp_path: Path, write: Write, text: str, expected: dict[str, set[str]]) -> None:
    write("site/a/files/x.j2", text)
    assert uses(compose(["a"], [tmp_path / "site"])) == expected


def test_of_conditions_targets_and_fragments(tmp_path: Path, write: Write) -> None:
    rules = "files:\n  /etc/x:\n    condition: image.distribution == 'a'\n  /etc/y:\n    for_each: interfaces\n"
    write("site/a/meta.yaml", f'{rules}    target: "/etc/{{{{ node.name }}}}-{{{{ interface.name }}}}"\n')
    write("site/a/files/etc/x", "{{ image.version }} is no template")
    write("site/a/files/etc/y.j2", "y")
    found = uses(compose(["a"], [tmp_path / "site"]))
    assert found == {"image": {"distribution"}, "node": {"name", "interfaces"}}


def test_the_shipped_overlays_do_not_look_at_what_changes_with_every_version() -> None:
    found = uses(compose(Overlays(Path("/nowhere")).names(), [SHIPPED]).of_scope("node"))
    assert found["image"] <= {"distribution", "features"} and WHOLE not in found["node"] | found["cluster"]
    assert "labels" not in found["node"]


def test_narrowed_is_whole_in_doubt() -> None:
    context = {"image": {"name": "a", "version": "b"}, "node": {"name": "n1"}, "more": [1]}
    assert narrowed(context, {"image": frozenset({"name"})}) == {"image": {"name": "a"}, "node": {}, "more": [1]}
    for doubt in (WHOLE, "items"):
        assert narrowed(context, {"image": frozenset({"name", doubt})})["image"] == context["image"]


def test_what_looks_at_nothing_that_changed_has_the_same_sources(
    overlays: Overlays, write: Write, context: dict[str, dict[str, object]]
) -> None:
    write("site/a/files/etc/motd.j2", "{{ node.name }} runs {{ image.name }}")
    before = overlays.composed(["a"]).own_sources(context)
    context["image"]["version"], context["node"]["labels"] = "debian@1", {"rack": "r2"}
    assert overlays.composed(["a"]).own_sources(context) == before
    context["image"]["name"] = "other"
    assert overlays.composed(["a"]).own_sources(context) != before
