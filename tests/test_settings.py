"""muster.yaml: what is written is read back, and whatever is odd is named with file, line and key."""

import pytest

from muster import settings
from muster.model.errors import NotFoundError, RequestError
from muster.settings import Settings


def test_written_and_read_back(tmp_path):
    path = tmp_path / "muster.yaml"
    wanted = Settings(("10.77.0.1:9898", "[fd00::1]:9898"), 9000, "4711", "debug")
    settings.write_default(path, wanted)
    assert settings.read(path) == wanted
    assert wanted.port == 9898


def test_only_listen_is_needed(tmp_path):
    path = tmp_path / "muster.yaml"
    path.write_text("listen: 10.77.0.1:9898\n")
    assert settings.read(path) == Settings(("10.77.0.1:9898",), 9899, "muster", "info")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("listen: ['10.0.0.1:80']\nport: 1\n", 2, "unknown key 'port'"),
        ("app_port: 5\n", 1, "listen: at least one"),
        ("listen: []\n", 1, "listen: at least one"),
        ("\nlisten: ['10.0.0.1']\n", 2, "listen: ADDR:PORT"),
        ("listen: ['head:80']\n", 1, "numeric address"),
        ("listen: ['fd00::1:80']\n", 1, r"\[IPV6\]"),
        ("listen: ['10.0.0.1:0']\n", 1, "port from 1 to 65535"),
        ("listen: ['10.0.0.1:80', '10.0.0.2:81']\n", 1, "same port"),
        ("listen: ['10.0.0.1:80', '10.0.0.1:80']\n", 1, "twice"),
        ("listen: ['10.0.0.1:80']\napp_port: 80\n", 2, "app_port: must differ"),
        ("listen: ['10.0.0.1:80']\napp_port: [1]\n", 2, "app_port: one value"),
        ("listen: ['10.0.0.1:80']\nuser: root\n", 2, "user: "),
        ("listen: ['10.0.0.1:80']\nuser: {a: b}\n", 2, "user: a value"),
        ("listen: ['10.0.0.1:80']\n\nlog_level: loud\n", 3, "log_level: 'loud'"),
        ("listen: ['10.0.0.1:80']\nuser: a\nuser: b\n", 3, "user: is there twice"),
        ("- listen\n", 1, "`key: value` lines"),
        ("", 1, "`key: value` lines"),
        ("listen: ['10.0.0.1:80'\nuser: x\n", 2, "did not find"),
    ],
)
def test_odd_files(tmp_path, text, line, message):
    path = tmp_path / "muster.yaml"
    path.write_text(text)
    with pytest.raises(RequestError, match=message) as caught:
        settings.read(path)
    assert caught.value.where == f"{path}:{line}"


def test_a_missing_file_says_what_to_do(tmp_path):
    with pytest.raises(NotFoundError, match="muster init"):
        settings.read(tmp_path / "muster.yaml")
