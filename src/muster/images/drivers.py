"""Which drivers an initramfs carries: data by folder of the kernel's tree, never by the build machine.

A pattern is a path below `kernel/` of a module without its ending; `*` stays within a folder, `**` goes
through all below. What a pattern finds brings its dependencies.
"""

NETWORK = (
    "drivers/net/ethernet/**",
    "drivers/net/*",
    "drivers/net/hyperv/*",
    "drivers/net/vmxnet3/*",
    "drivers/net/phy/**",
    "drivers/net/mdio/*",
    "drivers/net/pcs/*",
    "drivers/net/usb/{asix,ax88179_178a,cdc_ether,r8152}",
)
INFINIBAND = (
    "drivers/infiniband/core/ib_core",
    "drivers/infiniband/hw/mlx4/*",
    "drivers/infiniband/hw/mlx5/*",
    "drivers/infiniband/ulp/ipoib/*",
)
VIRTUAL = (
    "drivers/virtio/{virtio,virtio_mmio,virtio_pci,virtio_pci_*,virtio_ring}",
    "drivers/hv/hv_vmbus",
    "drivers/pci/controller/pci-hyperv*",
    "drivers/pci/controller/vmd",
    "drivers/char/virtio_console",
)
STORAGE = (
    "drivers/ata/{ahci,acard-ahci,libahci,libata,ata_generic,ata_piix,sata_*,pata_amd,pata_via}",
    "drivers/block/{loop,virtio_blk,xen-blkfront}",
    "drivers/nvme/host/{nvme,nvme-core}",
    "drivers/scsi/{scsi_mod,scsi_common,sd_mod,ses,hpsa,virtio_scsi,vmw_pvscsi,hv_storvsc,xen-scsifront}",
    "drivers/scsi/stex",
    "drivers/scsi/{aacraid,arcmsr,isci,megaraid,mpi3mr,mpt3sas,mvsas,pm8001,smartpqi}/*",
    "drivers/message/fusion/{mptbase,mptscsih,mptsas,mptspi}",
)
CONSOLE = (
    "drivers/usb/core/*",
    "drivers/usb/common/*",
    "drivers/usb/host/{ehci-hcd,ehci-pci,ohci-hcd,ohci-pci,uhci-hcd,xhci-hcd,xhci-pci}",
    "drivers/hid/{hid,hid-generic,hid-hyperv}",
    "drivers/hid/usbhid/usbhid",
    "drivers/input/serio/hyperv-keyboard",
)
ROOT = (
    "fs/squashfs/*",
    "fs/overlayfs/*",
    "drivers/md/{dm-mod,dm-bufio,dm-verity,dm-multipath,dm-round-robin,dm-service-time,dm-queue-length}",
    "net/packet/af_packet",
)
NFS_ROOT = ("fs/nfs/{nfs,nfsv4}",)
"""Not auth_rpcgss: with it the client asks for Kerberos first, and waits for a daemon that no node has."""
LOCAL_DISK = (
    "fs/ext4/*",
    "crypto/crc32c_generic",
    "arch/*/crypto/crc32c*",
)
"""ext4 asks for crc32c by an alias, so that no dependency tells of it."""
EXTRA = (*NFS_ROOT, *LOCAL_DISK)
"""What some roots need and others need not carry; fetched when the plan says so."""
NEEDED = {"nfsv4": "roots nfs and tmpfs", "ext4": "scratch on a local disk"}
"""Modules of those, or built in, without which something cannot be had, and what."""
WANTED = (*NETWORK, *INFINIBAND, *VIRTUAL, *STORAGE, *CONSOLE, *ROOT)

UNWANTED = (
    "drivers/net/ethernet/**_cs",
    "drivers/net/ethernet/broadcom/b44",
    "drivers/net/ethernet/marvell/prestera/*",
    "drivers/net/ethernet/mellanox/mlxsw/*",
    "drivers/net/ethernet/microchip/sparx5/*",
    "drivers/net/ethernet/mscc/*",
    "drivers/net/{dummy,eql,geneve,gtp,ifb,macsec,macvlan,macvtap,mhi_net,netconsole,nlmon,sb1000}",
    "drivers/net/{tap,thunderbolt-net,tun,veth,vrf,vsockmon,vxlan,netdevsim,amt,bareudp}",
)
"""PC Cards, router boards, switch chips (whose firmware alone is tens of MB), and interfaces that no
machine boots from."""
