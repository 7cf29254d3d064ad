# shellcheck shell=dash
# What the root modes share: the way from a file that holds the image to a root that can be written on.
#   file -> loop -> dm-verity (muster-verity) -> dm-linear (muster-root, where a running node's image can be
#   swapped) -> squashfs at $run/lower; what the node writes in $run/upper; $newroot is the overlay of both.
# Each mode has three functions: root_fetch (stage download), root_check (verify), root_prepare (root).
# Whatever fails says why in $root_error and leaves the rest to root_undo.

ROOT_SPARED=32768 # KiB of memory that an image must leave for the system beside it

# root_memory BYTES WORDS: is there memory for so much, and for a system beside it?
root_memory() {
    memory MemAvailable
    [ $((kilobytes - ROOT_SPARED)) -gt $(($1 >> 10)) ] || {
        root_error="$2 needs $(($1 >> 20)) MiB of memory, this machine has $((kilobytes >> 10)) MiB free"
        return 1
    }
}

# memory KEY: $kilobytes of a line of /proc/meminfo.
memory() {
    while read -r memory_key kilobytes _; do
        [ "$memory_key" != "$1:" ] || break
    done </proc/meminfo
}

# root_drop: another image is wanted than the one that came or was coming, or it is wanted in another way.
root_drop() {
    blob_unfollow
    root_held='' root_wanted=''
    rm -f "$run/ram/root.squashfs"
}

# root_device FILE: a loop device for the file, its contents checked block by block in /dev/mapper/muster-root.
# A block that is not what was packed is an I/O error, each time it is read.
root_device() {
    root_attach "$1" || return
    plan_value verity
    set -f
    # shellcheck disable=SC2086
    set -- $value
    set +f
    root_sectors=$(($1 * 8))
    root_verity="0 $root_sectors verity 1 $root_loop $root_loop 4096 4096 $1 $2 sha256 $3 $4"
    root_linear="0 $root_sectors linear /dev/mapper/muster-verity 0"
    kit dmsetup create --concise "muster-verity,,,ro,$root_verity;muster-root,,,ro,$root_linear" 2>"$run/complaint" || {
        root_complaint 'no verity device for the image'
        return 1
    }
    # how the kernel's log names the device when it finds a damaged block
    IFS= read -r root_numbers <"/sys/class/block/${root_loop##*/}/dev"
    plan_value image
    printf '%s %s\n' "$root_numbers" "$value" >"$run/verity"
}

# root_attach FILE: $root_loop, the first loop device that is free.
root_attach() {
    root_loop=''
    for root_place in /sys/class/block/loop*; do
        [ -e "$root_place/dev" ] && [ ! -e "$root_place/loop/backing_file" ] || continue
        root_loop=/dev/${root_place##*/}
        break
    done
    # all taken: the kernel makes another
    [ -n "$root_loop" ] || root_loop=$(losetup -f 2>/dev/null)
    losetup -r "$root_loop" "$1" 2>"$run/complaint" || {
        root_loop=''
        root_complaint 'no loop device for the image'
        return 1
    }
}

# root_complaint WORDS: $root_error from our words and a program's.
root_complaint() {
    root_line=''
    IFS= read -r root_line <"$run/complaint"
    root_error="$1: $root_line"
}

# root_damage: did verity refuse a block? Then $root_error says which.
root_damage() {
    case $(kit dmsetup status muster-verity 2>/dev/null) in *' C') ;; *) return 1 ;; esac
    root_block=$(dmesg | grep -o 'device-mapper: verity: .* is corrupted' | tail -n 1)
    root_error="the image is damaged, or the plan has the root hash of another: ${root_block#device-mapper: }"
}

root_lower() {
    mkdir -p "$run/lower"
    mount -t squashfs -o ro /dev/mapper/muster-root "$run/lower" 2>/dev/null || {
        root_damage || root_error='the image cannot be mounted as squashfs'
        return 1
    }
}

# root_upper: what the node writes, over $run/lower.
root_upper() {
    mkdir -p "$run/upper" "$newroot"
    plan_value upper || value=50%
    mount -t tmpfs -o "mode=755,size=$value" muster-upper "$run/upper" && mkdir "$run/upper/files" "$run/upper/work" || {
        root_error="no tmpfs of size $value for what the node writes"
        return 1
    }
    mount -t overlay -o "lowerdir=$run/lower,upperdir=$run/upper/files,workdir=$run/upper/work" root "$newroot" || {
        root_error='overlayfs refuses the image'
        return 1
    }
}

# root_acls: what a squashfs cannot hold; paths are those of a walk, without links, from the root. A file of an
# overlay takes ACLs only when it lies in the upper layer: a new time of access brings it there.
root_acls() {
    plan_digest acls.sha256 || return 0
    root_names "/kit/$value" | (cd "$newroot" && xargs -0 touch -c -a) 2>/dev/null
    (cd "$newroot" && kit setfacl --restore="/kit/$value") 2>"$run/complaint" || {
        root_complaint 'not all ACLs of the image could be set'
        warn "$root_error"
    }
}

# root_names FILE: the names in an output of getfacl, which writes the special bytes of a name as \ooo.
root_names() {
    while IFS= read -r root_line; do
        case $root_line in '# file: '*) printf '%b\0' "${root_line#??file: }" ;; esac
    done <"$1"
}

# root_switch: /run moves into the new root, and our own /run becomes a link to it: from here on its
# paths mean the same on both sides of a chroot.
root_switch() {
    mkdir -p "$newroot/run" "$newroot/dev" "$newroot/proc" "$newroot/sys" &&
        mount -o move /run "$newroot/run" && rmdir /run && ln -s "$newroot/run" /run || {
        root_error='/run cannot be moved into the new root'
        return 1
    }
}

# root_undo: back to before root_fetch, whatever had been done; only a RAM file that is good stays.
root_undo() {
    if [ -L /run ]; then
        rm /run && mkdir /run && mount -o move "$newroot/run" /run
    fi
    for root_place in "$newroot" "$run/upper" "$run/lower"; do
        umount "$root_place" 2>/dev/null
    done
    root_release
    umount "$run/nfs" 2>/dev/null
    rm -f "$run/verity"
    return 0
}

# root_release: the devices below the root, from the top.
root_release() {
    for root_device in muster-root muster-verity; do
        [ ! -e /dev/mapper/$root_device ] || kit dmsetup remove $root_device
    done
    [ -z "${root_loop:-}" ] || losetup -d "$root_loop"
    root_loop=''
}
