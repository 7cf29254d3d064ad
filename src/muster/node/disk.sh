# shellcheck shell=dash
# Making swap and scratch on a blank disk, when the plan tells to. A disk is blank when its first and its last MiB
# are all zero and it has no partitions; no other is ever written to. One exception, so that a power cut in the
# middle of this does not leave a disk that nobody may finish: a partition of ours, on the disk that is asked for,
# that is blank itself is formatted.

DISK_SETTLE=2      # seconds after which no further disk may have appeared, for the selector `only`
DISK_PARTITIONS=15 # seconds in which the kernel shows the partitions of a new table
DISK_LEAST=64      # MiB that scratch has at least
DISK_TYPE_SWAP=0657FD6D-A4AB-43C4-84E5-0933C84B4F4F
DISK_TYPE_LINUX=0FC63DAF-8483-4772-8E79-3D69D8477DE4

# disk_make 'SELECTOR SWAPSIZE|-': the partitions that disk.scratch and disk.swap of the plan name. A disk that was
# made at an earlier boot is left as it is, whatever the selector says now.
disk_make() {
    disk_selector=${1% *} disk_swap_mib=0
    case ${1##* } in
    -) ;;
    *) plan_bytes "${1##* }" && disk_swap_mib=$((bytes >> 20)) || {
        warn "no disk is made: '${1##* }' is no size for swap"
        return
    } ;;
    esac
    plan_value disk.swap || value=swap
    disk_swap=$value
    plan_value disk.scratch || value=scratch
    disk_scratch=${value%% *}
    place_look "$disk_scratch" && disk_zero "$place_device" 0 || [ -z "$place_device" ] || return 0
    disk_choose && disk_partition && disk_format || warn "no disk is made: $disk_error"
}

# disk_choose: $disk is the name of the one disk that the selector means.
disk_choose() {
    place_deadline "$PLACE_DISK"
    until disk_select; do
        place_waits || return
    done
    [ "$disk_selector" = only ] || return 0
    nap $DISK_SETTLE
    disk_select
}

disk_select() {
    disk='' disk_error=''
    for disk_folder in /sys/block/*; do
        disk_is_one "$disk_folder" && disk_meant "$disk_folder" || continue
        [ -z "$disk" ] || disk_error="more than one disk fits '$disk_selector': $disk and ${disk_folder##*/}"
        disk=${disk_folder##*/}
    done
    [ -n "$disk" ] || disk_error="no disk fits '$disk_selector'"
    [ -z "$disk_error" ]
}

# disk_is_one FOLDER: a disk of this machine; not what software makes, not a medium that can be taken out, and not
# the second path or the boot area of another.
disk_is_one() {
    [ -e "$1/device" ] || return
    case ${1##*/} in sr* | fd* | nbd* | mmcblk*boot* | mmcblk*rpmb*) return 1 ;; esac
    disk_attribute "$1/removable" && [ "$value" = 0 ] && disk_attribute "$1/size" && [ "$value" != 0 ] || return
    ! disk_attribute "$1/hidden" || [ "$value" = 0 ]
}

# disk_attribute FILE: $value is its first line.
disk_attribute() {
    value=''
    [ -r "$1" ] && read -r value 2>/dev/null <"$1" || [ -n "$value" ]
}

# disk_is TEXT: does the selector name this text? It has `_` for each blank; runs of both count as one.
disk_is() {
    disk_text=$1
    disk_wanted=${disk_selector#*:}
    while :; do
        case $disk_text in
        *' '*) disk_text=${disk_text%% *}_${disk_text#* } ;;
        *__*) disk_text=${disk_text%%__*}_${disk_text#*__} ;;
        *) break ;;
        esac
    done
    while :; do
        case $disk_wanted in *__*) disk_wanted=${disk_wanted%%__*}_${disk_wanted#*__} ;; *) break ;; esac
    done
    [ "$disk_text" = "$disk_wanted" ]
}

# disk_meant FOLDER: does the selector mean this disk?
disk_meant() {
    case $disk_selector in
    only) return 0 ;;
    serial:*) disk_names=serial ;;
    wwid:*) disk_names=wwid ;;
    *) return 1 ;;
    esac
    for disk_file in "$1/$disk_names" "$1/device/$disk_names"; do
        disk_attribute "$disk_file" && disk_is "$value" && return
    done
    # SCSI and SATA disks have their serial number only in this page, after four bytes
    [ $disk_names = serial ] && [ -r "$1/device/vpd_pg80" ] || return
    tail -c +5 "$1/device/vpd_pg80" | tr -cd ' -~' >"$run/disk"
    disk_attribute "$run/disk"
    rm -f "$run/disk"
    disk_is "$value"
}

# disk_partition: swap and scratch on the blank disk; nothing to do when they are there already.
disk_partition() {
    disk_attribute "/sys/block/$disk/size"
    disk_mib=$((value >> 11))
    if disk_ours; then return 0; fi
    disk_usable || return
    say "disk $disk is blank: making ${disk_swap_mib} MiB of swap and $((disk_mib - disk_swap_mib)) MiB of scratch on it"
    disk_error=$(disk_table | kit sfdisk -q --wipe never "/dev/$disk" 2>&1) || {
        disk_error="$disk: ${disk_error:-sfdisk failed}"
        return 1
    }
    place_until=''
    place_deadline $DISK_PARTITIONS
    until disk_ours; do
        place_waits || {
            disk_error="$disk: its partitions do not appear"
            return 1
        }
    done
}

# disk_ours: the disk has the partitions that are wanted, and no other.
disk_ours() {
    disk_found=' '
    for disk_folder in "/sys/block/$disk/$disk"*; do
        [ -e "$disk_folder/partition" ] || continue
        place_partname "$disk_folder"
        disk_found="$disk_found$place_name "
    done
    if [ "$disk_swap_mib" = 0 ]; then
        [ "$disk_found" = " $disk_scratch " ]
    else
        [ "$disk_found" = " $disk_swap $disk_scratch " ]
    fi
}

# disk_usable: may this disk be written to? At the first doubt, no.
disk_usable() {
    disk_error="$disk is read-only"
    disk_attribute "/sys/block/$disk/ro" && [ "$value" = 0 ] || return
    disk_error="$disk is not blank: it has partitions that are not ours"
    [ "$disk_found" = ' ' ] || return
    disk_error="$disk is in use"
    for disk_folder in "/sys/block/$disk/holders"/*; do [ ! -e "$disk_folder" ] || return; done
    disk_error="$disk has $disk_mib MiB, which is too little for swap of $disk_swap_mib MiB and scratch"
    [ "$disk_mib" -ge $((disk_swap_mib + DISK_LEAST + 2)) ] || return
    disk_error="$disk is not blank"
    disk_zero "/dev/$disk" 0 && disk_zero "/dev/$disk" $((disk_mib - 1))
}

# disk_zero DEVICE MIB: is this MiB all zero? A MiB that cannot be read whole is not.
disk_zero() {
    disk_sum=$(dd if="$1" bs=1048576 skip="$2" count=1 2>/dev/null | sha256sum)
    [ "$disk_sum" = "$(head -c 1048576 /dev/zero | sha256sum)" ]
}

disk_table() {
    echo 'label: gpt'
    [ "$disk_swap_mib" = 0 ] || echo "size=${disk_swap_mib}MiB, type=$DISK_TYPE_SWAP, name=\"$disk_swap\""
    echo "type=$DISK_TYPE_LINUX, name=\"$disk_scratch\""
}

# disk_format: swap first, so that a scratch that is there means that all is there.
disk_format() {
    for disk_folder in "/sys/block/$disk/$disk"*; do
        [ -e "$disk_folder/partition" ] || continue
        place_partname "$disk_folder"
        disk_part=/dev/${disk_folder##*/}
        case $place_name in
        "$disk_scratch") disk_error=$(disk_scratch_make 2>&1) ;;
        *) disk_error=$(disk_swap_make 2>&1) ;;
        esac || {
            disk_error="$disk_part: $disk_error"
            return 1
        }
    done
}

disk_swap_make() {
    ! disk_zero "$disk_part" 0 || mkswap -L "$disk_swap" "$disk_part" >/dev/null
}

disk_scratch_make() {
    disk_zero "$disk_part" 0 || {
        echo 'not blank'
        return 1
    }
    modprobe -q ext4 2>/dev/null
    kit mkfs.ext4 -q -F -t ext4 -L "$disk_scratch" -E nodiscard "$disk_part" </dev/null
}
