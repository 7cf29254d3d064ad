# shellcheck shell=dash
# Root mode `ram`: the squashfs in RAM, a tmpfs over it.
#   $run/ram    the blob, in a tmpfs of just its size       $run/lower  its contents
#   $run/upper  what the node writes, limited in size       $newroot    the overlay of both

# root_room SIZE: a place for the blob of SIZE bytes: $root_file.
root_room() {
    root_file=$run/ram/root.squashfs
    root_free || return
    if [ -e "$run/ram" ]; then
        mount -o "remount,size=$(($1 + 65536))" "$run/ram" && return
    fi
    mkdir -p "$run/ram"
    mount -t tmpfs -o "mode=700,nosuid,nodev,size=$(($1 + 65536))" muster-ram "$run/ram" || {
        root_error="no tmpfs of $1 bytes for the image"
        return 1
    }
}

# root_free: is there memory for the blob and for a system beside it?
root_free() {
    while read -r root_word root_kilobytes _; do
        [ "$root_word" != MemAvailable: ] || break
    done </proc/meminfo
    plan_value root.size
    [ -s "$run/ram/root.squashfs" ] || [ $((root_kilobytes * 1024)) -gt $((value + (32 << 20))) ] || {
        root_error="the image needs $((value >> 20)) MiB of memory, this machine has $((root_kilobytes >> 10)) MiB free"
        return 1
    }
}

root_prepare() {
    mkdir -p "$run/lower" "$run/upper" "$newroot"
    mount -t squashfs -o loop,ro "$root_file" "$run/lower" || {
        root_error='the image cannot be mounted as squashfs'
        return 1
    }
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

# root_switch: /run moves into the new root, and our own /run becomes a link to it: from here on its
# paths mean the same on both sides of a chroot.
root_switch() {
    mkdir -p "$newroot/run" "$newroot/dev" "$newroot/proc" "$newroot/sys" &&
        mount -o move /run "$newroot/run" && rmdir /run && ln -s "$newroot/run" /run || {
        root_error='/run cannot be moved into the new root'
        return 1
    }
}

# root_undo: back to before root_prepare, whatever had been done.
root_undo() {
    if [ -L /run ]; then
        rm /run && mkdir /run && mount -o move "$newroot/run" /run
    fi
    for root_place in "$newroot" "$run/upper" "$run/lower"; do
        umount -d "$root_place" 2>/dev/null || :
    done
}
