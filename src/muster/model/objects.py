"""What an administrator declares, as frozen typed objects, and what a pack publishes (DESIGN section 7).

A field that is None was not set: only set fields take part in the cascade.
"""

import ipaddress
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from muster.model import kernel_arguments
from muster.model.values import (
    Address,
    AuthorizedKey,
    DiskLabel,
    DiskSelector,
    DomainName,
    HostName,
    HostOrAddress,
    ImageReference,
    InterfaceAddress,
    InterfaceName,
    KernelArgument,
    Label,
    Mac,
    MountPath,
    Name,
    Pool,
    Sha256,
    Size,
    Subnet,
    TimeZone,
    UpperSize,
    Uuid,
    VersionReference,
)


class Frozen(BaseModel):
    """Unknown keys are errors; nothing changes after it was made."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SecretReference(Frozen):
    """Where an object needs a secret it names one; the value lies in a file that only the controller reads."""

    secret: Name


class Power(Frozen):
    """How a node is switched: the driver and what it needs to reach the machine.

    A profile may set the part that its nodes share; a node can be switched once driver and address are known.
    """

    driver: Literal["lab"] | None = None
    address: Annotated[str, Field(min_length=1, max_length=255)] | None = None
    user: str | None = None
    password: SecretReference | None = None


class SerialConsole(Frozen):
    """The serial line on which a node offers a login."""

    device: Annotated[str, Field(pattern=r"^tty[A-Za-z]{1,8}[0-9]{1,3}$")] = "ttyS0"
    speed: Annotated[int, Field(ge=1200, le=4_000_000)] = 115200
    login: Literal["password", "autologin", "none"] = "password"


class Interface(Frozen):
    """A network interface of a node. `mtu` in bytes. With neither `address` nor `dhcp` it is left down."""

    name: InterfaceName = Field(description="As the node shall call it: eth0.")
    mac: Mac | None = None
    address: InterfaceAddress | None = None
    gateway: Address | None = None
    mtu: Annotated[int, Field(ge=576, le=65520)] | None = Field(None, description="Bytes.")
    dhcp: bool | None = Field(None, description="Address by DHCP.")


class Placement(Frozen):
    """Where a folder of a node lies that programs write much into, and how large it may grow."""

    on: Literal["root", "tmpfs", "disk"] | None = Field(
        None,
        description="root: in the root, counted by upper_size (default); tmpfs: one of its own, in RAM; "
        "disk: the scratch partition, emptied at each boot.",
    )
    size: UpperSize | None = Field(None, description="Limit of the tmpfs: 25% of RAM (default), 512m, 2g.")

    @model_validator(mode="after")
    def _size_of_a_tmpfs(self) -> Self:
        if self.size is not None and self.on in ("root", "disk"):
            raise ValueError(f"a size belongs to a tmpfs, and this lies on {self.on}")
        return self


class DiskMake(Frozen):
    """Leave to partition a blank disk: one whose first and last MiB are zeros. No other is ever written to."""

    disk: DiskSelector | None = Field(
        None, description="Which one: `only` (default), serial:TEXT or wwid:TEXT, with `_` for a blank."
    )
    swap_size: Size | None = Field(None, description="Of the swap partition: 8g; none is made without it.")


class Disk(Frozen):
    """The partitions of a local disk that a node uses, found by GPT name or else by the label of their content."""

    scratch: DiskLabel | None = Field(None, description="Label of the scratch partition: `scratch` by default.")
    path: MountPath | None = Field(None, description="Where scratch is mounted: /scratch by default.")
    swap: DiskLabel | None = Field(None, description="Label of a swap partition; none is used without it.")
    make: DiskMake | None = Field(
        None, description="Make them on a blank disk: swap, if it has a size, and scratch (ext4) in the rest."
    )


class Settings(Frozen):
    """What a profile or a node may set; the cascade merges them field by field."""

    image: ImageReference | None = Field(
        None,
        description="What the node boots: NAME, NAME:TAG or NAME@VERSION, `latest` without a tag; "
        "NAME@live, the editable tree itself, with root nfs.",
    )
    root: Literal["ram", "tmpfs", "nfs"] | None = Field(
        None,
        description="How the node holds the image: `ram`, compressed in RAM (default); `tmpfs`, unpacked in RAM; "
        "`nfs`, on the controller, from where it reads what it needs.",
    )
    upper_size: UpperSize | None = Field(
        None,
        description="Limit of what the node may write, in RAM: 50% (default), 512m, 2g; "
        "with root tmpfs beyond the image.",
    )
    tmp: Placement | None = Field(None, description="Where /tmp lies.")
    var: Placement | None = Field(None, description="Where what is written into /var lies.")
    disk: Disk | None = Field(None, description="Partitions of a local disk to use; none without it.")
    overlays: tuple[Annotated[str, Field(pattern=r"^-?[a-z0-9][a-z0-9._-]{0,62}$")], ...] | None = Field(
        None, description="Laid over the image in this order; `-NAME` takes an earlier one out."
    )
    kernel_arguments: tuple[KernelArgument, ...] | None = Field(
        None, description="Added to the kernel's command line; `-ARGUMENT` takes an earlier one out."
    )
    domain: DomainName | None = Field(None, description="DNS domain of the node.")
    nameservers: tuple[str, ...] | None = Field(
        None, description="Addresses of DNS servers; `-ADDRESS` takes an earlier one out."
    )
    time_servers: tuple[HostOrAddress, ...] | None = Field(None, description="NTP servers, by name or address.")
    timezone: TimeZone | None = Field(None, description="As in the tz database: Europe/Berlin. UTC by default.")
    authorized_keys: tuple[AuthorizedKey, ...] | None = Field(
        None, description="Who may log in as root: lines of authorized_keys(5)."
    )
    serial_console: SerialConsole | None = Field(None, description="The serial line on which the node offers a login.")
    power: Power | None = Field(None, description="How the machine is switched.")
    labels: dict[Label, Annotated[str, Field(max_length=255)]] | None = Field(
        None, description="key: value, to select nodes by: `@rack:r1`."
    )

    @field_validator("kernel_arguments")
    @classmethod
    def _no_reserved_kernel_arguments(cls, arguments: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for argument in arguments or ():
            if argument.partition("=")[0] in kernel_arguments.RESERVED:
                raise ValueError(f"the controller sets the kernel argument {argument.partition('=')[0]} itself")
        return arguments

    @field_validator("nameservers")
    @classmethod
    def _nameservers_are_addresses(cls, entries: tuple[str, ...] | None) -> tuple[str, ...] | None:
        for entry in entries or ():
            ipaddress.ip_address(entry.removeprefix("-"))
        return entries


class Profile(Settings):
    """Named settings that nodes list; the profile `default` applies to all nodes."""

    kind: Literal["profile"] = "profile"
    name: Name


class MachineKey(Frozen):
    """The facts by which a node's machine is recognised (reference: model/facts.py)."""

    uuid: Uuid | None = None
    board_serial: str | None = Field(None, max_length=128)
    product: str | None = Field(None, max_length=128)


class Node(Settings):
    """A machine that boots from this controller."""

    kind: Literal["node"] = "node"
    name: HostName
    machine: MachineKey | None = Field(None, description="The facts by which the machine is recognised.")
    interfaces: tuple[Interface, ...] = Field(
        (), description="Network interfaces; the node boots from one whose MAC is here."
    )
    profiles: tuple[Name, ...] = Field(
        (), description="Names of profiles, the later over the earlier, all over `default`."
    )

    @field_validator("interfaces")
    @classmethod
    def _interfaces_differ(cls, interfaces: tuple[Interface, ...]) -> tuple[Interface, ...]:
        for what in ("name", "mac", "address"):
            seen = [value.partition("/")[0] for i in interfaces if (value := getattr(i, what)) is not None]
            if len(seen) != len(set(seen)):
                raise ValueError(f"two interfaces of one node have the same {what}")
        return interfaces


class Network(Frozen):
    """An Ethernet segment on which the controller serves boots.

    `mode` own: our dnsmasq leases addresses here; off: it stays silent. `pool` is for machines that are
    not known yet; `lease` is in seconds.
    """

    kind: Literal["network"] = "network"
    name: Name
    subnet: Subnet
    address: Address
    interface: InterfaceName
    mode: Literal["own", "off"] = Field("own", description="own: our dnsmasq leases here; off: it stays silent.")
    pool: Pool | None = None
    router: Address | None = Field(None, description="Default route of the nodes.")
    nameservers: tuple[Address, ...] = ()
    domain: DomainName | None = None
    lease: Annotated[int, Field(ge=120, le=31_536_000)] = Field(3600, description="Seconds.")
    discovery_image: VersionReference | None = Field(
        None, description="Whose kernel unknown machines boot; any that is published without it."
    )

    @model_validator(mode="after")
    def _inside(self) -> Self:
        net = ipaddress.IPv4Network(self.subnet)
        ends = self.pool.split("-") if self.pool else []
        for what, value in (("address", self.address), ("router", self.router), *(("pool", e) for e in ends)):
            if value is not None and ipaddress.IPv4Address(value) not in net:
                raise ValueError(f"{what} {value} is outside {self.subnet}")
        if ends and ipaddress.IPv4Address(ends[0]) <= ipaddress.IPv4Address(self.address) <= ipaddress.IPv4Address(
            ends[1]
        ):
            raise ValueError(f"the pool {self.pool} contains the controller's own address {self.address}")
        return self


class Blob(Frozen):
    """Bytes stored under their sha256; `size` in bytes."""

    sha256: Sha256
    size: Annotated[int, Field(ge=0)]


class Verity(Frozen):
    """The dm-verity table of a root blob (kernel Documentation/admin-guide/device-mapper/verity.rst).

    Blocks are 4096 bytes; `data_size` is the length of the squashfs in bytes, the hash tree follows it.
    """

    data_blocks: int
    hash_start_block: int
    root_hash: Sha256
    salt: Annotated[str, Field(pattern=r"^(-|[0-9a-f]{2,512})$")]
    data_size: int


class Features(Frozen):
    """What the image's own software is, as far as laying an overlay must know."""

    init: Literal["systemd", "openrc", "runit", "other"] = "other"
    network: Literal["networkd", "ifupdown", "none"] = "none"
    resolved: bool = False
    time: Literal["timesyncd", "chrony", "none"] = "none"


class Version(Frozen):
    """One immutable, content-addressed pack of an image; `digest` covers every set field but `name` and itself.

    `extra`: kernel modules that only some root modes need, a gzip newc cpio. `acls`: the POSIX ACLs of the tree,
    which a squashfs cannot hold, as getfacl(1) prints them. `sizes`, in bytes: `tree`, the lengths of all files;
    `unpacked`, what the tree takes in a tmpfs. What a version packed by an older release lacks is None.
    """

    kind: Literal["version"] = "version"
    name: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,62}@[0-9a-f]{12}$")]
    image: Name
    digest: Sha256
    distribution: Annotated[str, Field(max_length=128)]
    architecture: Literal["x86_64", "aarch64"]
    kernel_release: Annotated[str, Field(pattern=r"^[A-Za-z0-9._+~-]{1,128}$")]
    kernel: Blob
    modules: Blob
    root: Blob
    verity: Verity
    packages: Blob
    features: Features
    extra: Blob | None = None
    acls: Blob | None = None
    sizes: dict[str, int] = {}

    @model_validator(mode="after")
    def _named_by_content(self) -> Self:
        if self.name != f"{self.image}@{self.digest[:12]}":
            raise ValueError(f"the name of a version is IMAGE@DIGEST: {self.image}@{self.digest[:12]}, not {self.name}")
        return self

    @property
    def blobs(self) -> tuple[Blob, ...]:
        some = (self.kernel, self.modules, self.root, self.packages, self.extra, self.acls)
        return tuple(blob for blob in some if blob is not None)

    def manifest(self) -> dict[str, object]:
        """What is exported and registered, as plain JSON-able data; what is None is left out."""
        return self.model_dump(mode="json", exclude_none=True)


class Image(Frozen):
    """A named operating system; `tags` point at the first 12 hex of a version's digest."""

    kind: Literal["image"] = "image"
    name: Name
    tags: dict[Name, Annotated[str, Field(pattern=r"^[0-9a-f]{12}$")]] = Field(
        {}, description="TAG: the first 12 hex digits of a version's digest."
    )
    live: bool = Field(False, description="Whether nodes may boot its editable tree, as NAME@live.")


class Machine(Frozen):
    """A machine that said hello and belongs to no node yet: pending until adopted. Name: its fingerprint."""

    kind: Literal["machine"] = "machine"
    name: Sha256
    inventory: dict[str, tuple[str, ...]]
    first_seen: float

    @property
    def short(self) -> str:
        """The machine id: a short name for people."""
        return self.name[:8]

    @property
    def macs(self) -> tuple[str, ...]:
        """The MACs that it said it has: of the interface it booted from, then of all (`NAME MAC DRIVER LINK`)."""
        listed = (line.split(" ") for line in self.inventory.get("interface", ()))
        return (*self.inventory.get("bootif", ()), *(words[1] for words in listed if len(words) > 1))


Object = Node | Profile | Network | Image | Version | Machine
KINDS: dict[str, type[Object]] = {
    "image": Image,
    "machine": Machine,
    "network": Network,
    "node": Node,
    "profile": Profile,
    "version": Version,
}
DECLARED = ("image", "network", "profile", "node")
"""The kinds of a declaration, in the order in which they refer to each other: an image's tags, and what an
administrator writes by hand. The others come from packing and from machines."""
BY_HAND = ("network", "profile", "node")
"""What is made, changed and removed by hand; an image is made by packing and only its tags are declared."""
