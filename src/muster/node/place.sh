# shellcheck shell=dash
# Where /tmp and /var lie, and what is used of a disk: swap and scratch, found by label, made only when told to.
# Nothing here stops a boot: what cannot be had is named in a warning, and /tmp and /var stay in the root.
# What was done is kept for the agent in $run/places:
#   tmp tmpfs FOLDER | tmp disk FOLDER      where the files of /tmp are
#   var tmpfs FOLDER | var disk FOLDER      where what was written to /var is
#   scratch PATH      swap DEVICE           image KIB (mode tmpfs: what the image takes of the root)

PLACE_DISK=5 # seconds in which a disk that is looked for may still appear

# place_prepare: after the new root is there and before anything is laid over it.
place_prepare() {
    place_mounts='' place_swap='' place_scratch=''
    : >"$run/places"
    place_image
    if plan_value disk.make; then disk_make "$value"; fi
    if plan_value disk.swap; then place_use_swap "$value"; fi
    if plan_value disk.scratch; then place_use_scratch "$value"; fi
    # in this order: a link of the image from /tmp into /var leads to the /var that stays
    if plan_value var; then place_var "$value"; fi
    if plan_value tmp; then place_tmp "$value"; fi
    return 0
}

# place_undo: back to before place_prepare.
place_undo() {
    place_saved=$IFS
    IFS=$NEWLINE
    set -f
    for place_point in ${place_mounts:-}; do umount "$place_point" 2>/dev/null || :; done
    set +f
    IFS=$place_saved
    [ -z "${place_swap:-}" ] || swapoff "$place_swap"
    place_mounts='' place_swap='' place_scratch=''
    rm -f "$run/places"
}

# place_mount POINT OPTIONS...: mount, and remember it for place_undo. On failure $place_error says why.
place_mount() {
    place_point=$1
    shift
    place_error=$(mount "$@" "$place_point" 2>&1) || {
        place_error=${place_error##*failed: }
        return 1
    }
    place_mounts=$place_point$NEWLINE$place_mounts
}

place_note() {
    printf '%s\n' "$*" >>"$run/places"
}

# place_image: in mode tmpfs the root holds image and changes alike; what the image takes is measured now.
place_image() {
    plan_value mode
    [ "$value" = tmpfs ] || return 0
    # shellcheck disable=SC2046
    set -- $(stat -f -c '%S %b %f' "$newroot")
    place_note image $((($2 - $3) * ($1 / 1024)))
}

# place_folder PATH: $place_point is where the image's own links lead from PATH, as a folder of the new root.
place_folder() {
    chroot "$newroot" "$run/bin/busybox" mkdir -p "$1" 2>/dev/null &&
        place_inner=$(chroot "$newroot" "$run/bin/busybox" readlink -f "$1") && [ "${place_inner:-/}" != / ] || {
        place_error="$1 cannot be a folder of this image"
        return 1
    }
    place_point=$newroot$place_inner
}

# place_tmp 'tmpfs SIZE' | disk
place_tmp() {
    case $1 in
    tmpfs | tmpfs\ *)
        place_size=${1#tmpfs} place_size=${place_size# }
        place_folder /tmp &&
            place_mount "$place_point" -t tmpfs -o "mode=1777,nosuid,nodev,size=${place_size:-25%}" muster-tmp &&
            place_note tmp tmpfs "$place_inner" && return
        ;;
    disk)
        place_empty tmp 1777 && place_folder /tmp &&
            place_mount "$place_point" -o bind "$place_store" &&
            place_note tmp disk "$place_inner" && return
        ;;
    *) place_error="this node's software does not know '$1'" ;;
    esac
    warn "/tmp stays in the root: $place_error"
}

# place_var 'tmpfs SIZE' | disk: an overlay over the image's own /var.
place_var() {
    case $1 in
    tmpfs | tmpfs\ *)
        place_size=${1#tmpfs} place_size=${place_size# } place_store=$run/var
        mkdir -p "$place_store" &&
            place_mount "$place_store" -t tmpfs -o "mode=700,nosuid,nodev,size=${place_size:-25%}" muster-var &&
            mkdir "$place_store/upper" "$place_store/work" && place_over_var &&
            place_note var tmpfs "$place_store/upper" && return
        ;;
    disk)
        place_empty var 700 && mkdir "$place_store/upper" "$place_store/work" && place_over_var &&
            place_note var disk "$place_scratch/.muster/var/upper" && return
        ;;
    *) place_error="this node's software does not know '$1'" ;;
    esac
    warn "/var stays in the root: $place_error"
}

# place_over_var: the kernel allows no overlay over the upper folder of another one; so the lower folder is the
# image's own where it is mounted apart, and else the root's /var, held aside.
place_over_var() {
    place_folder /var || return
    place_lower=$run/lower$place_inner
    plan_value mode
    if [ "$value" = tmpfs ]; then
        place_lower=$run/var-lower place_root=$place_point
        mkdir -p "$place_lower" && place_mount "$place_lower" -o bind "$place_root" || return
        place_point=$place_root
    fi
    # the mode and the owner of /var are those of the image: the top of an overlay is its upper folder
    place_like "$place_lower" "$place_store/upper" &&
        place_mount "$place_point" -t overlay \
            -o "lowerdir=$place_lower,upperdir=$place_store/upper,workdir=$place_store/work" muster-var
}

# place_like FOLDER NEW: give NEW the mode and owner of FOLDER.
place_like() {
    place_error="mode and owner of $1 cannot be given to $2"
    # shellcheck disable=SC2046
    set -- "$2" $(stat -c '%a %u:%g' "$1")
    [ $# = 3 ] && chmod "$2" "$1" && chown "$3" "$1"
}

# place_empty NAME MODE: $place_store is an empty folder of scratch. Nothing else on scratch is ever touched.
place_empty() {
    [ -n "$place_scratch" ] || {
        place_error='no scratch partition is in use'
        return 1
    }
    place_ours=$newroot$place_scratch/.muster
    place_store=$place_ours/$1
    [ -e "$place_ours" ] || [ -L "$place_ours" ] || mkdir -m 700 "$place_ours" 2>/dev/null
    # a link or a folder of somebody else would lead what is deleted here astray
    [ -d "$place_ours" ] && [ ! -L "$place_ours" ] && [ "$(stat -c %u "$place_ours")" = 0 ] || {
        place_error="$place_scratch/.muster is not a folder of root's"
        return 1
    }
    [ ! -e "$place_store" ] || say "emptying $place_scratch/.muster/$1 of what the last boot left"
    rm -rf "$place_store" && mkdir -m "$2" "$place_store" || {
        place_error="$place_scratch/.muster/$1 cannot be emptied"
        return 1
    }
}

# place_use_swap LABEL
place_use_swap() {
    place_find "$1" || {
        warn "no swap: $place_error"
        return
    }
    place_error=$(swapon "$place_device" 2>&1) || {
        warn "no swap: ${place_device#/dev/} cannot be used: ${place_error##*: }"
        return
    }
    place_swap=$place_device
    place_note swap "$place_device"
    say "swap: ${place_device#/dev/} ($1)"
}

# place_use_scratch 'LABEL PATH'. A journal is replayed by mounting.
place_use_scratch() {
    place_find "${1%% *}" && place_folder "${1#* }" || {
        warn "no scratch: $place_error"
        return
    }
    modprobe -aq ext4 xfs 2>/dev/null
    place_mount "$place_point" -o nosuid,nodev "$place_device" || {
        warn "no scratch: ${place_device#/dev/} cannot be mounted: $place_error"
        return
    }
    place_scratch=$place_inner
    place_note scratch "$place_inner"
    say "scratch: ${place_device#/dev/} (${1%% *}) on ${1#* }"
}

# place_find LABEL: $place_device is the one partition of that name in a GPT, else the file system or swap space of
# that label. Disks may still be on their way.
place_find() {
    place_deadline $PLACE_DISK
    until place_look "$1"; do
        [ -z "$place_device" ] && place_waits || return
    done
}

# place_deadline SECONDS: the end of all waiting, set once for all that is looked for.
place_deadline() {
    read_uptime
    place_until=${place_until:-$((centiseconds + $1 * 100))}
}

# place_waits: a moment passes; fails at the deadline.
place_waits() {
    nap 0.2
    read_uptime
    [ "$centiseconds" -lt "$place_until" ]
}

# place_look LABEL: one look. With two partitions of the name, neither is taken, and $place_device is not empty.
place_look() {
    place_error="no partition or file system has the label $1" place_device=''
    for place_part in /sys/class/block/*; do
        place_name=''
        [ ! -e "$place_part/partition" ] || place_partname "$place_part"
        [ "$place_name" = "$1" ] || continue
        [ -z "$place_device" ] || {
            place_error="the label $1 is on ${place_device#/dev/} and on ${place_part##*/}"
            return 1
        }
        place_device=/dev/${place_part##*/}
    done
    [ -z "$place_device" ] || return 0
    place_device=$(findfs "LABEL=$1" 2>/dev/null)
}

# place_partname FOLDER: $place_name is the name that the GPT gives to the partition.
place_partname() {
    while IFS= read -r place_line; do
        case $place_line in PARTNAME=*) place_name=${place_line#*=} ;; esac
    done <"$1/uevent"
}
