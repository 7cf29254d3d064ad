"""The types of single values in objects: names, addresses, sizes. Each checks and normalises at the edge."""

import ipaddress
import re
from typing import Annotated

from pydantic import AfterValidator, StringConstraints, WithJsonSchema

NAME_PATTERN = r"^[a-z0-9]([a-z0-9._-]{0,61}[a-z0-9])?$"
HOST_PATTERN = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_MAC = re.compile(r"^[0-9a-f]{2}(:[0-9a-f]{2}){5}$")
_IPV4 = r"[0-9]{1,3}(\.[0-9]{1,3}){3}"
_UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")


def mac(text: str) -> str:
    """A MAC in lower case with colons; dashes and Cisco dots are accepted. Raises ValueError."""
    plain = re.sub(r"[:.-]", "", text.strip().lower())
    spaced = ":".join(plain[i : i + 2] for i in range(0, len(plain), 2))
    if not _MAC.match(spaced):
        raise ValueError(f"not a MAC address: {text!r}")
    if int(plain[:2], 16) & 1:
        raise ValueError(f"a group address cannot be an interface's MAC: {text!r}")
    if plain == "0" * 12:
        raise ValueError("the MAC of all zeros belongs to no interface")
    return spaced


def uuid(text: str) -> str:
    """An SMBIOS UUID in lower case. Raises ValueError."""
    plain = text.strip().lower()
    if not _UUID.match(plain):
        raise ValueError(f"not a UUID: {text!r}")
    return plain


def _address(text: str) -> str:
    return str(ipaddress.IPv4Address(text))


def _interface_address(text: str) -> str:
    if "/" not in text:
        raise ValueError(f"an address with its prefix length is wanted, such as {text}/24")
    address, _, length = text.partition("/")
    if length.isdecimal() and int(length) <= 32:
        return f"{ipaddress.IPv4Address(address)}/{int(length)}"  # at half the cost of an IPv4Interface
    return ipaddress.IPv4Interface(text).with_prefixlen


def _subnet(text: str) -> str:
    return str(ipaddress.IPv4Network(text))


def _pool(text: str) -> str:
    first, dash, last = text.partition("-")
    if not dash or ipaddress.IPv4Address(first) > ipaddress.IPv4Address(last):
        raise ValueError(f"a pool is FIRST-LAST, two addresses in order: {text!r}")
    return f"{ipaddress.IPv4Address(first)}-{ipaddress.IPv4Address(last)}"


_NO_MOUNT = re.compile(r"/(bin|boot|etc|lib|lib32|lib64|sbin|tmp|usr|var)|/(dev|proc|run|sys)(/.*)?")


def _mount_path(text: str) -> str:
    if not re.fullmatch(r"(/[A-Za-z0-9_][A-Za-z0-9._-]*)+", text):
        raise ValueError(f"an absolute path is wanted, such as /scratch: {text!r}")
    if _NO_MOUNT.fullmatch(text):
        raise ValueError(f"{text} is the system's own: nothing is mounted over it")
    return text


def _form(description: str, pattern: str) -> WithJsonSchema:
    """What an editor says and checks of a value that a function judges here."""
    return WithJsonSchema({"type": "string", "description": description, "pattern": pattern})


Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
HostName = Annotated[str, StringConstraints(pattern=HOST_PATTERN)]
DomainName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")]
InterfaceName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$")]
Mac = Annotated[
    str, AfterValidator(mac), _form("A MAC: 52:54:00:00:00:01.", r"^[0-9A-Fa-f]{2}([:.-]?[0-9A-Fa-f]{2}){5}$")
]
Uuid = Annotated[
    str,
    AfterValidator(uuid),
    _form("The SMBIOS UUID, as dmidecode shows it.", r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$"),
]
Address = Annotated[str, AfterValidator(_address), _form("An IPv4 address.", rf"^{_IPV4}$")]
InterfaceAddress = Annotated[
    str,
    AfterValidator(_interface_address),
    _form("An IPv4 address with the length of its network's prefix: 10.77.0.11/24.", rf"^{_IPV4}/[0-9]{{1,2}}$"),
]
Subnet = Annotated[str, AfterValidator(_subnet), _form("An IPv4 network: 10.77.0.0/24.", rf"^{_IPV4}/[0-9]{{1,2}}$")]
Pool = Annotated[
    str, AfterValidator(_pool), _form("First and last address: 10.77.0.200-10.77.0.250.", rf"^{_IPV4} *- *{_IPV4}$")
]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
KernelArgument = Annotated[str, StringConstraints(pattern=r"^-?[A-Za-z0-9_.,:=/+@%*^~\[\]!?()<>-]{1,255}$")]
"""One word; no blanks, quotes, `$`, `|`, `&`, `;`, `#` or backslash: loaders would give those a meaning."""

_IMAGE, _VERSION = "[a-z0-9][a-z0-9._-]{0,62}", ":[a-z0-9][a-z0-9._-]{0,62}|@[0-9a-f]{12,64}"
VersionReference = Annotated[str, StringConstraints(pattern=rf"^{_IMAGE}({_VERSION})?$")]
"""A version that was packed: `NAME[:TAG or @VERSION]`."""
ImageReference = Annotated[str, StringConstraints(pattern=rf"^{_IMAGE}({_VERSION}|@live)?$")]
"""What a node boots: a version, or `NAME@live`, the editable tree itself."""
Label = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9._/-]{0,62}[A-Za-z0-9])?$")]
UpperSize = Annotated[str, StringConstraints(pattern=r"^([1-9][0-9]?%|100%|[1-9][0-9]{0,5}[mg])$")]
"""A tmpfs' `size=`: `50%` of RAM, `512m`, `2g` (tmpfs(5))."""
Size = Annotated[str, StringConstraints(pattern=r"^[1-9][0-9]{0,5}[mg]$")]
"""MiB or GiB: `512m`, `8g`."""
DiskLabel = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,35}$")]
"""A partition's name in its GPT, which has room for 36 characters, or the label of its file system."""
DiskSelector = Annotated[str, StringConstraints(pattern=r"^(only|(serial|wwid):[A-Za-z0-9_.:+-]{1,128})$")]
"""One disk of a node: the only one it has, or by what sysfs says of it, with `_` for each blank."""
MountPath = Annotated[
    str, AfterValidator(_mount_path), _form("An absolute path: /scratch.", r"^(/[A-Za-z0-9_][A-Za-z0-9._-]*)+$")
]

HostOrAddress = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9]([A-Za-z0-9.:-]{0,252}[A-Za-z0-9])?$")]
TimeZone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_+-]{1,32}(/[A-Za-z0-9_+-]{1,32}){0,2}$")]
AuthorizedKey = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9@_.,= \"'/+:*-]{20,8192}$", strip_whitespace=True)
]
"""One line of authorized_keys(5)."""
