"""Layers, deletions, meta.yaml, and the paths and files that are refused."""

import os
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from muster.model.errors import RequestError
from muster.overlays.errors import OverlayError
from muster.overlays.library import Overlays
from muster.overlays.meta import parse_meta
from muster.overlays.paths import PathError, check, relative

from .conftest import Write


def laid(overlays: Overlays, context: dict[str, object], *names: str) -> dict[str, tuple[str, str]]:
    rendered = overlays.render(names or ["a"], context)
    return {item.path: (item.kind, item.link or item.content.decode()) for item in rendered.entries}


def refused(overlays: Overlays, context: dict[str, object], *names: str) -> OverlayError:
    with pytest.raises(OverlayError) as caught:
        overlays.render(names or ["a"], context)
    return caught.value


def test_a_site_file_replaces_one_shipped_file(overlays: Overlays, write: Write, context: dict[str, object]) -> None:
    write("shipped/a/files/etc/one.j2", "shipped {{ node.name }}")
    write("shipped/a/files/etc/two", "shipped")
    write("shipped/a/meta.yaml", "files:\n  /etc/one: {mode: '0600'}\n")
    write("site/a/files/etc/one", "site {{ node.name }}")
    assert laid(overlays, context) == {"etc/one": ("file", "site {{ node.name }}"), "etc/two": ("file", "shipped")}
    modes = {item.path: item.mode for item in overlays.render(["a"], context).entries}
    assert modes["etc/one"] == 0o600, "what the shipped meta.yaml says of a path holds for the site's file too"


def test_site_meta_is_laid_over_shipped_meta_key_by_key(
    overlays: Overlays, write: Write, context: dict[str, object]
) -> None:
    write("shipped/a/files/x", "x")
    write("shipped/a/files/y", "y")
    write("shipped/a/meta.yaml", "files:\n  /x: {mode: '0600', owner: '7:8'}\n  /link: {symlink: /shipped}\n")
    write(
        "site/a/meta.yaml",
        "files:\n  /x: {owner: '9'}\n  /y: {condition: 'false'}\n  /link: {symlink: '/{{ node.name }}'}\n",
    )
    link, x = overlays.render(["a"], context).entries
    assert (x.mode, x.uid, x.gid) == (0o600, 9, 9)
    assert link.link == "/n1"


def test_the_later_overlay_wins_if_its_condition_holds(
    overlays: Overlays, write: Write, context: dict[str, object]
) -> None:
    for name in ("a", "b", "c"):
        write(f"site/{name}/files/x.j2", f"{name}" + ("{{ broken }}" if name == "a" else ""))
    write("site/c/meta.yaml", "files:\n  /x: {condition: node.name == 'n2'}\n")
    assert laid(overlays, context, "a", "b", "c") == {"x": ("file", "b")}, "a lost, so its fault does not matter"


def test_deletions(overlays: Overlays, write: Write, context: dict[str, object]) -> None:
    write("shipped/a/files/etc/d/x", "x")
    write("shipped/a/files/etc/e", "e")
    write("site/a/meta.yaml", "delete: [/etc/d, /etc/motd]\n")
    write("site/b/files/etc/motd", "b")
    assert laid(overlays, context) == {"etc/d": ("whiteout", ""), "etc/e": ("file", "e"), "etc/motd": ("whiteout", "")}
    assert laid(overlays, context, "a", "b")["etc/motd"] == ("file", "b")
    write("site/b/files/etc/d/y", "y")
    error = refused(overlays, context, "a", "b")
    assert (error.overlay, error.file) == ("b", "files/etc/d/y")
    assert "overlay a (meta.yaml:1) deletes /etc/d" in error.message


def test_a_file_below_another_overlays_file_is_refused(
    overlays: Overlays, write: Write, context: dict[str, object]
) -> None:
    write("site/a/files/etc/x", "")
    write("site/b/files/etc/x/y", "")
    assert "lays a file or symlink at /etc/x" in refused(overlays, context, "a", "b").message


def test_symlinks_are_laid_never_followed(overlays: Overlays, write: Write, context: dict[str, object]) -> None:
    write("site/a/files/etc/x", "")
    folder = Path(write("site/a/files/etc/y", "")).parent
    (folder / "shadow").symlink_to("/etc/shadow")
    (folder / "up").symlink_to("../../../../../../../etc")
    (folder / "gone").symlink_to("nowhere")
    found = laid(overlays, context)
    assert found["etc/shadow"] == ("symlink", "/etc/shadow")
    assert found["etc/up"] == ("symlink", "../../../../../../../etc")
    assert found["etc/gone"] == ("symlink", "nowhere")
    assert len(found) == 5


def test_links_in_the_overlays_own_place_are_refused(
    overlays: Overlays, write: Write, context: dict[str, object], tmp_path: Path
) -> None:
    write("site/a/files/x", "")
    write("secret", "{{ node.name }}")
    (tmp_path / "site/a/files/y.j2").symlink_to(tmp_path / "secret")
    assert "template must be a file" in refused(overlays, context).message
    (tmp_path / "site/a/files/y.j2").unlink()
    (tmp_path / "site/a/meta.yaml").symlink_to(tmp_path / "secret")
    assert refused(overlays, context).file == "meta.yaml"
    (tmp_path / "site/a/meta.yaml").unlink()
    (tmp_path / "site/a/include").symlink_to("/etc")
    assert "not a symlink" in refused(overlays, context).message


def test_special_files_are_refused(
    overlays: Overlays, write: Write, context: dict[str, object], tmp_path: Path
) -> None:
    write("site/a/files/x", "")
    special = tmp_path / "site/a/files/special"
    os.mkfifo(special)
    error = refused(overlays, context)
    assert (error.file, error.message[:32]) == ("files/special", "is a device, socket or pipe: an ")
    special.unlink()
    with socket.socket(socket.AF_UNIX) as listener:
        here = Path.cwd()
        os.chdir(special.parent)
        try:
            listener.bind("special")
        finally:
            os.chdir(here)
        assert refused(overlays, context).file == "files/special"


@pytest.mark.parametrize("name", [b"new\nline", b"\xff\xfe", b"tab\t", b".wh.x", b"\xe2\x80\xae.txt", b".j2", b"...j2"])
def test_bad_names_in_files_are_refused(
    overlays: Overlays, write: Write, context: dict[str, object], name: bytes
) -> None:
    folder = Path(write("site/a/files/x", "")).parent
    Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_text("")
    error = refused(overlays, context)
    assert str(error).encode(), "the message itself must be printable"


def test_two_sources_of_one_file_are_refused(overlays: Overlays, write: Write, context: dict[str, object]) -> None:
    write("site/a/files/x", "")
    write("site/a/files/x.j2", "")
    assert "and so does files/x" in refused(overlays, context).message


def test_folders_are_laid_only_when_declared(
    overlays: Overlays, write: Write, context: dict[str, object], tmp_path: Path
) -> None:
    write("site/a/files/root/.ssh/config", "x")
    write("site/a/meta.yaml", "files:\n  /root/.ssh: {mode: '0700'}\n  /srv/data: {directory: true, owner: '5:6'}\n")
    assert laid(overlays, context) == {
        "root/.ssh": ("directory", ""),
        "root/.ssh/config": ("file", "x"),
        "srv/data": ("directory", ""),
    }
    (tmp_path / "site/a/files/empty").mkdir()
    assert "an empty folder would be lost" in refused(overlays, context).message


def test_an_overlay_that_is_too_large_is_refused(overlays: Overlays, write: Write, context: dict[str, object]) -> None:
    with write("site/a/files/x", "").open("r+b") as file:
        file.truncate(65 << 20)
    assert "larger than 64 MiB" in refused(overlays, context).message


def test_an_overlay_twice_is_refused(overlays: Overlays, write: Write, context: dict[str, object]) -> None:
    write("site/a/files/x", "")
    with pytest.raises(RequestError, match="twice"):
        overlays.render(["a", "a"], context)


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("scope: node\nfile: {}\n", 2, "unknown key 'file'"),
        ("files:\n  /x:\n    mod: '0644'\n", 3, "unknown key 'mod'"),
        ("files:\n  /x: {mode: 0999}\n", 2, "key mode: '0999' is not an octal mode"),
        ("files:\n  /x: {mode: 10644}\n", 2, "key mode"),
        ("files:\n  /x: {owner: nobody}\n", 2, "key owner: 'nobody'"),
        ("files:\n  /x: {owner: '4294967295'}\n", 2, "key owner"),
        ("files:\n  /x: {when: never}\n", 2, "key when: 'never' is not one of boot, runtime, both"),
        ("files:\n  /x: {directory: yes}\n", 2, "key directory"),
        ("files:\n  /x: {for_each: disks, target: /a}\n", 2, "key for_each"),
        ("files:\n  /x: {for_each: interfaces}\n", 2, "needs a target"),
        ("files:\n  /x: {symlink: a, directory: true}\n", 2, "exclude each other"),
        ("files:\n  /x: {condition: }\n", 2, "key condition: expected text"),
        ("files:\n  /x: {mode: '0600'}\n  /x: {mode: '0644'}\n", 3, "written twice"),
        ("files:\n  x: {mode: '0600'}\n", 2, "does not start with /"),
        ("files:\n  /../x: {mode: '0600'}\n", 2, "`..`"),
        ("scope: none\n", 1, "key scope"),
        ("delete: /etc/x\n", 1, "expected a list"),
        ("delete:\n- /etc/x\n- /etc/../../x\n", 3, "`..`"),
        ("- a\n", 1, "expected a mapping"),
        ("a: [\n", 2, "is not YAML"),
        ("a: &a [*a]\n", 1, "aliases"),
        ("files:\n  /x: !!python/object/apply:os.system [id]\n", 2, "expected a mapping"),
        ("[" * 30000, 1, "nested too deeply"),
        ("\x00", 0, "is not YAML"),
    ],
)
def test_meta_is_read_strictly(text: str, line: int, words: str) -> None:
    with pytest.raises(OverlayError) as caught:
        parse_meta(text.encode(), "a")
    assert (caught.value.overlay, caught.value.file, caught.value.line) == ("a", "meta.yaml", line)
    assert words in caught.value.message


def test_meta_for_a_path_that_is_not_there_is_an_error(
    overlays: Overlays, write: Write, context: dict[str, object]
) -> None:
    write("site/a/files/x", "")
    write("site/a/meta.yaml", "files:\n  /y: {mode: '0600'}\n")
    error = refused(overlays, context)
    assert (error.file, error.line) == ("meta.yaml", 2)


def test_an_empty_meta_says_nothing() -> None:
    assert parse_meta(b"# nothing\n", "a").files == ()


pieces = st.sampled_from(["/", ".", "..", "a", "\x00", "\n", "\x7f", "\\", "~", ".wh.", "\ud800", "é", " ", "\u202e"])
hostile = st.one_of(st.text(), st.lists(pieces, max_size=12).map(lambda parts: "/" + "".join(parts)))


@given(hostile)
def test_accepted_paths_stay_below_the_root(text: str) -> None:
    try:
        path = relative(text)
    except PathError:
        return
    assert text == f"/{path}"
    assert Path(os.path.normpath(f"/root/{path}")) == Path("/root") / path
    assert not path.startswith("/")
    assert ".." not in path.split("/")
    assert path.isprintable()


@pytest.mark.parametrize("path", ["etc/a b", "etc/é", r"etc/dev-disk\x2d1.mount", "etc/.hidden", "a/..b", "etc/x@y:z"])
def test_ordinary_paths_are_accepted(path: str) -> None:
    check(path)
