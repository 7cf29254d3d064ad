# shellcheck shell=dash
# Root mode `tmpfs`: the image unpacked into a tmpfs. It is read from the controller's file block by block, so that
# never both copies are in RAM; afterwards nothing of NFS, loop or device-mapper is left.

ROOT_TICK=1     # seconds between two looks at the unpacking
ROOT_EARLY=80   # centiseconds: a pipe that answers before that has no writer any more
ROOT_SILENCE=30 # seconds without progress after which the console says so

root_fetch() {
    root_drop
    plan_number root.unpacked || plan_number root.size
    root_unpacked=$value
    root_memory "$root_unpacked" 'the unpacked image' || return
    nfs_image || {
        root_error=$nfs_error
        return 1
    }
}

# There is nothing to check here: verity checks each block when it is read.
root_check() { :; }

root_prepare() {
    root_device "$root_file" || return
    plan_value upper || value=50%
    root_bytes "$value"
    mkdir -p "$newroot"
    # an image larger than it was said to be is an error, and no machine without memory; limits that are none could
    # not become limits later
    memory MemAvailable
    mount -t tmpfs -o "mode=755,size=$((kilobytes - ROOT_SPARED))k,nr_inodes=$kilobytes" root "$newroot" || {
        root_error='no tmpfs for the unpacked image'
        return 1
    }
    root_unpack && root_bound || return
    root_release
    rm -f "$run/verity"
    umount -l "$run/nfs"
}

# root_unpack: unsquashfs, watched through the pipe of its complaints, which ends when it ends.
root_unpack() {
    root_xattrs='' root_complained='' root_used=0
    mkfifo -m 600 "$run/unpack" 2>/dev/null || :
    exec 4<>"$run/unpack"
    # its queues are 256 MiB each by default
    kit unsquashfs -force -quiet -no-progress -data-queue 16 -frag-queue 16 -dest "$newroot" /dev/mapper/muster-root \
        >/dev/null 2>&4 4>&- 5<&- 6>&- 7<&- &
    root_pid=$!
    exec 4<"$run/unpack"
    root_watch
    exec 4<&-
    wait $root_pid
    root_status=$?
    rm -f "$run/unpack"
    case $root_status:$root_xattrs:$root_complained in
    0:*) ;;
    2:1:) root_attributes ;;
    *)
        root_damage || root_error="the image cannot be unpacked: ${root_complained:-unsquashfs ended with status $root_status}"
        return 1
        ;;
    esac
}

root_watch() {
    read_uptime
    root_alive=$centiseconds
    while :; do
        root_since=$centiseconds root_line=''
        if IFS= read -r -t $ROOT_TICK root_line <&4; then
            root_hears "$root_line"
            continue
        fi
        read_uptime
        root_progress
        [ $((centiseconds - root_since)) -ge $ROOT_EARLY ] || return 0
    done
}

root_hears() {
    case $1 in
    '') ;;
    *xattr*) root_xattrs=1 ;;
    *) root_complained=${root_complained:-$1} ;;
    esac
}

# root_progress: as much as the tmpfs holds by now.
root_progress() {
    root_before=$root_used
    root_measure
    if [ "$root_used" != "$root_before" ]; then
        root_alive=$centiseconds
        [ "$root_used" -ge "$root_unpacked" ] || progress root "$root_used" "$root_unpacked"
    elif [ $((centiseconds - root_alive)) -ge $((ROOT_SILENCE * 100)) ]; then
        root_alive=$centiseconds
        say "root: $((root_used >> 20)) MiB are unpacked, waiting for more from $nfs_server"
    fi
}

# root_measure: $root_used bytes and $root_inodes of the tmpfs.
root_measure() {
    # shellcheck disable=SC2046
    set -- $(stat -f -c '%S %b %f %c %d' "$newroot")
    root_used=$(($1 * ($2 - $3))) root_inodes=$(($4 - $5))
}

# root_attributes: a kernel before 6.6 has no user attributes in a tmpfs, and at the first of them unsquashfs
# gives up all others too, capabilities among them: those are set again from the image.
root_attributes() {
    root_lower || return
    (cd "$run/lower" && kit getfattr -R -P -h -d -e hex -m '^(security|trusted)[.]' .) >/kit/xattrs 2>"$run/complaint" &&
        (cd "$newroot" && kit setfattr -h --restore=/kit/xattrs) 2>"$run/complaint" || {
        root_complaint 'the extended attributes of the image cannot be set'
        return 1
    }
    root_lost=$(cd "$run/lower" && kit getfattr -R -P -h -m '^user[.]' . 2>/dev/null | grep -c '^user[.]')
    umount "$run/lower"
    rm -f /kit/xattrs
    warn "root: $root_lost user attributes of files are not there: this kernel's tmpfs refuses them"
}

# root_bound: from now on the node may write as much as `upper` says, and make as many files as in any tmpfs.
root_bound() {
    root_measure
    memory MemTotal
    mount -o "remount,size=$((root_used + root_most)),nr_inodes=$((root_inodes + kilobytes / 8))" "$newroot" || {
        root_error="the root's tmpfs cannot be limited to $root_used bytes and what is to be written"
        return 1
    }
}

# root_bytes SIZE: $root_most in bytes, of `50%` of the memory, `512m` or `2g`.
root_bytes() {
    case $1 in
    *%)
        memory MemTotal
        root_most=$((kilobytes * 1024 * ${1%\%} / 100))
        ;;
    *)
        plan_bytes "$1"
        root_most=$bytes
        ;;
    esac
}
