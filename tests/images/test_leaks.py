"""What pack refuses to publish."""

from pathlib import Path

import pytest

from muster.images import leaks
from muster.images.tree import Tree
from muster.model.errors import RequestError

KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n"
SECRETS = {
    "etc/ssh/ssh_host_rsa_key": KEY,
    "etc/ssh/ssh_host_dsa_key": "any content at all",
    "root/.ssh/id_ed25519": KEY,
    "home/ann/.ssh/work": KEY,
    "etc/ssl/private/node.key": "-----BEGIN PRIVATE KEY-----\nAAAA\n",
    "etc/wireguard/wg0.conf": "[Interface]\nPrivateKey = aGVsbG8=\n",
    "etc/munge/munge.key": "\0\1\2",
    "etc/shadow": "root:$y$j9T$salt$hash:19000:0:99999:7:::\n",
    "etc/gshadow": "adm:$6$salt$hash::\n",
    "etc/passwd": "root:ab1J1Zbp7cL2c:0:0::/root:/bin/sh\n",
}
HARMLESS = {
    "etc/ssh/ssh_host_rsa_key.pub": "ssh-rsa AAAA",
    "etc/ssh/sshd_config": "Port 22\n",
    "root/.ssh/authorized_keys": "ssh-ed25519 AAAA",
    "etc/munge/munge.key": "",
    "etc/shadow": "root:*:19000:::::\nann:!:::::::\nbob:!!:::::::\neve::::::::\nx:!*:::\n",
    "etc/passwd": "root:x:0:0::/root:/bin/sh\n",
}


def put(root: Path, path: str, text: str) -> Tree:
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).write_text(text)
    return Tree(root)


@pytest.mark.parametrize("path", SECRETS)
def test_a_secret_is_refused_and_its_file_named(tmp_path: Path, path: str) -> None:
    with pytest.raises(RequestError, match=path) as caught:
        leaks.refuse(put(tmp_path, path, SECRETS[path]))
    assert "--allow-secrets" in str(caught.value)


def test_a_locked_password_is_still_a_hash(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="etc/shadow: password hashes of ann"):
        leaks.refuse(put(tmp_path, "etc/shadow", "root:*::::::\nann:!$6$salt$hash::::::\n"))


def test_all_files_are_named_at_once(tmp_path: Path) -> None:
    put(tmp_path, "etc/shadow", SECRETS["etc/shadow"])
    with pytest.raises(RequestError, match=r"(?s)etc/shadow.*etc/ssh/ssh_host_rsa_key"):
        leaks.refuse(put(tmp_path, "etc/ssh/ssh_host_rsa_key", KEY))


@pytest.mark.parametrize("path", HARMLESS)
def test_what_is_no_secret_passes(tmp_path: Path, path: str) -> None:
    leaks.refuse(put(tmp_path, path, HARMLESS[path]))


def test_a_link_to_the_hosts_shadow_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "host").write_text(SECRETS["etc/shadow"])
    tree = put(tmp_path / "tree", "etc/passwd", HARMLESS["etc/passwd"])
    (tree.root / "etc/shadow").symlink_to(tmp_path / "host")
    leaks.refuse(tree)
