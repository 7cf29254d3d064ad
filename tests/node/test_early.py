"""The image's own early overrides: archives in the order of their names, then the folder; whiteouts; damage."""

import io
import os
import tarfile
from itertools import product
from pathlib import Path

import pytest
from tests.node.conftest import Rooted

pytestmark = pytest.mark.root

MAC = "52:54:00:ab:cd:ef"


@pytest.fixture
def image(rooted: Rooted) -> Path:
    """A root with files to override, remove and meet under another kind."""
    root = rooted.root
    for name in ("etc/overlays", "var", "bin", "srv/tree/sub", "run"):
        (root / name).mkdir(parents=True)
    for name in ("etc/fstab", "etc/kept", "etc/gone", "srv/tree/file", "srv/tree/.hidden", "etc/plain"):
        (root / name).write_text("image\n")
    (root / "var/run").symlink_to("/run")
    return root


def pack(path: Path, files: dict[str, str], *, how: str = "w") -> None:
    """A tar of text files; a name that ends in `/` is a folder."""
    with tarfile.open(path, how) as archive:  # type: ignore[call-overload]
        for name, text in files.items():
            entry = tarfile.TarInfo(name)
            if name.endswith("/"):
                entry.type, entry.mode = tarfile.DIRTYPE, 0o750
            entry.size, entry.mtime = len(text), 1_000_000_000
            archive.addfile(entry, io.BytesIO(text.encode()))


def text(root: Path, name: str) -> str:
    return (root / name).read_text().strip()


def test_archives_in_order_and_the_folder_wins(rooted: Rooted, image: Path) -> None:
    overlays = image / "etc/overlays"
    pack(overlays / f"{MAC}.1.tar", {"etc/fstab": "one", "etc/one": "one", "etc/both": "one"})
    pack(overlays / f"{MAC}.2.tgz", {"etc/fstab": "two", "etc/both": "two"}, how="w:gz")
    (overlays / MAC / "etc").mkdir(parents=True)
    (overlays / MAC / "etc/fstab").write_text("folder")
    pack(overlays / "52:54:00:00:00:01.tar", {"etc/fstab": "of another machine", "etc/other": ""})
    assert rooted("early_lay") == [
        f"muster: early overrides: /etc/overlays/{MAC}.1.tar",
        f"muster: early overrides: /etc/overlays/{MAC}.2.tgz",
        f"muster: early overrides: /etc/overlays/{MAC}/",
    ]
    assert [text(image, f"etc/{name}") for name in ("fstab", "one", "both")] == ["folder", "one", "two"]
    assert not (image / "etc/other").exists()


@pytest.mark.parametrize("how", ["w:gz", "w:bz2", "w:xz", "w"])
@pytest.mark.parametrize("name", ["52:54:00:AB:CD:EF", "52-54-00-ab-cd-ef"])
def test_every_format_and_spelling(rooted: Rooted, image: Path, how: str, name: str) -> None:
    pack(image / f"etc/overlays/{name}.seed", {"etc/fstab": "laid"}, how=how)
    rooted("early_lay")
    assert text(image, "etc/fstab") == "laid"


def test_an_image_without_overrides_says_nothing(rooted: Rooted, image: Path) -> None:
    assert rooted("early_lay") == []
    (image / "etc/overlays").rmdir()
    assert rooted("early_lay") == []


def test_whiteouts_of_archive_and_folder(rooted: Rooted, image: Path) -> None:
    files = {"etc/.wh.gone": "", "etc/.wh.kept": "", "etc/kept": "new", "srv/tree/.wh..wh..opq": "", "srv/tree/n": "n"}
    pack(image / f"etc/overlays/{MAC}.tar", {"./": "", **{f"./{name}": data for name, data in files.items()}})
    (image / f"etc/overlays/{MAC}/etc").mkdir(parents=True)
    (image / f"etc/overlays/{MAC}/etc/.wh.plain").touch()
    rooted("early_lay")
    assert not (image / "etc/gone").exists()
    assert text(image, "etc/kept") == "new"  # a whiteout hides what was there before, not what comes with it
    assert [path.name for path in (image / "srv/tree").iterdir()] == ["n"]
    assert not (image / "etc/plain").exists()
    left = [path for path in image.rglob(".wh.*") if "etc/overlays" not in str(path)]
    assert left == []


def test_another_kind_of_file_comes(rooted: Rooted, image: Path) -> None:
    pack(image / f"etc/overlays/{MAC}.tar", {"srv/tree": "a file now", "etc/plain/": "", "etc/plain/inside": "deep"})
    rooted("early_lay")
    assert text(image, "srv/tree") == "a file now"
    assert text(image, "etc/plain/inside") == "deep"


def test_nothing_leaves_the_root_and_links_lead_where_they_will(rooted: Rooted, image: Path, tmp_path: Path) -> None:
    (image / "etc/out").symlink_to(tmp_path)
    (image / str(tmp_path).lstrip("/")).mkdir(parents=True)
    overlays = image / "etc/overlays"
    pack(overlays / f"{MAC}.1.tar", {"var/run/seed": "through the link\n", "etc/out/escaped": ""})
    pack(overlays / f"{MAC}.2.tar", {"../../../../escaped": ""})
    said = rooted("early_lay; cat /run/seed; ls -A /run/muster")
    assert "through the link" in said
    assert said[said.index("through the link") + 1 :] == ["bin", "nap"]
    assert (image / str(tmp_path).lstrip("/") / "escaped").exists()
    assert not (tmp_path / "escaped").exists()
    assert not list(image.parent.glob("escaped"))


def test_the_node_itself_is_never_cleared(rooted: Rooted, image: Path) -> None:
    names = {"run/.wh.muster": "", ".wh.run": "", "var/run/muster/.wh.bin": "", "etc/fstab": "laid"}
    pack(image / f"etc/overlays/{MAC}.tar", names)
    assert "busybox" in rooted("early_lay; ls /run/muster/bin")
    assert text(image, "etc/fstab") == "laid"


def test_owner_mode_times_and_links_are_kept(rooted: Rooted, image: Path) -> None:
    folder = image / f"etc/overlays/{MAC}/opt/thing"
    folder.mkdir(parents=True)
    (folder / "tool").write_text("tool")
    (folder / "tool").chmod(0o4750)
    os.chown(folder / "tool", 1234, 5678)
    (folder / "tool").chmod(0o4750)
    os.utime(folder / "tool", (1_000_000_000, 1_000_000_000))
    os.link(folder / "tool", folder / "hard")
    (folder / "soft").symlink_to("tool")
    folder.chmod(0o700)
    os.setxattr(folder / "tool", "trusted.mark", b"lost")
    rooted("early_lay")
    laid = (image / "opt/thing/tool").stat()
    assert (laid.st_uid, laid.st_gid, laid.st_mode & 0o7777, laid.st_mtime) == (1234, 5678, 0o4750, 1_000_000_000)
    assert (image / "opt/thing").stat().st_mode & 0o7777 == 0o700
    assert (image / "opt/thing/hard").samefile(image / "opt/thing/tool")
    assert (image / "opt/thing/soft").readlink() == Path("tool")
    assert os.listxattr(image / "opt/thing/tool") == []


@pytest.mark.parametrize(
    ("how", "damage"),
    # a plain tar has no checksum over contents
    [("w", "cut"), *product(["w:gz", "w:bz2", "w:xz"], ["cut", "flip"])],
)
def test_a_damaged_archive_is_left_out_whole(rooted: Rooted, image: Path, how: str, damage: str) -> None:
    bad = image / f"etc/overlays/{MAC}.1"
    filler = os.urandom(30_000).hex()
    pack(bad, {"etc/.wh.gone": "", "etc/fstab": "half", "etc/large": filler}, how=how)
    data = bytearray(bad.read_bytes())
    if damage == "cut":
        del data[len(data) * 2 // 3 :]
    else:
        data[len(data) * 2 // 3] ^= 0x10
    bad.write_bytes(data)
    pack(image / f"etc/overlays/{MAC}.2", {"etc/kept": "laid"})
    said = rooted("early_lay")
    assert len(said) == 2
    assert said[0].startswith(f"warning: early overrides: /etc/overlays/{MAC}.1 is left out: ")
    assert not said[0].endswith(": ")
    assert [text(image, f"etc/{name}") for name in ("fstab", "gone", "kept")] == ["image", "image", "laid"]


@pytest.mark.parametrize("data", [b"", b"#!/bin/sh\necho no archive\n", b"\x28\xb5\x2f\xfd\x04\x00zstd"])
def test_what_is_no_archive_is_named(rooted: Rooted, image: Path, data: bytes) -> None:
    (image / f"etc/overlays/{MAC}.bad").write_bytes(data)
    (said,) = rooted("early_lay")
    assert said.startswith(f"warning: early overrides: /etc/overlays/{MAC}.bad is left out: ")


def test_what_cannot_be_laid_is_told(rooted: Rooted, image: Path) -> None:
    (image / "etc/nowhere").symlink_to("/not/there")
    pack(image / f"etc/overlays/{MAC}.tar", {"etc/fstab": "laid", "etc/nowhere/file": ""})
    (said,) = rooted("early_lay")
    assert said.startswith(f"warning: early overrides: /etc/overlays/{MAC}.tar could not be laid wholly: can't create")


def test_the_controllers_overlay_follows_the_same_rules(rooted: Rooted, image: Path, tmp_path: Path) -> None:
    pack(tmp_path / "overlay.tar.gz", {"etc/.wh.gone": "", "var/run/laid": "yes", "etc/fstab": "ours"}, how="w:gz")
    pack(image / f"etc/overlays/{MAC}.tar", {"etc/fstab": "early"})
    script = f"cp {tmp_path}/overlay.tar.gz /run/muster && early_lay && overlay_lay /run/muster/overlay.tar.gz"
    assert rooted(script + "; cat /run/laid")[-1] == "yes"
    assert text(image, "etc/fstab") == "ours"
    assert not (image / "etc/gone").exists()
