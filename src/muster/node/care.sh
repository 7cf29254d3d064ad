# shellcheck shell=dash
# How the node is: what each heartbeat tells of memory, limits and troubles. One `stat`, and where there is verity
# one `dmesg`, is all that is started for it.

CARE_FULL=95      # percent of its limit from which a layer counts as full
CARE_TROUBLES=8   # told in a heartbeat, at most
CARE_TROUBLE=190  # bytes of one of them, at most
CARE_DAMAGES=100  # blocks that are remembered; the kernel's dm-verity names no more

# care_load: what stays as it is while the node runs. $plan_text is the plan that it booted.
care_load() {
    plan_value image
    care_image=$value
    plan_value digest
    care_plan=$value
    plan_value upper || value=50%
    care_size=$value
    care_mode=ram care_device='' care_version='' care_damages='' care_blocks=0
    [ ! -r "$run/mode" ] || IFS= read -r care_mode <"$run/mode"
    [ ! -r "$run/verity" ] || read -r care_device care_version <"$run/verity"
    care_places
    case $care_mode in
    tmpfs) care_upper=/ ;; # image and changes in one; place_image has measured the image
    ram) care_held=$(stat -c %s "$run/ram/root.squashfs" 2>/dev/null) && care_held=$((care_held >> 10)) ;;
    esac
    care_warnings=''
    [ ! -r "$run/warnings" ] || care_warnings=$(head -n $CARE_TROUBLES "$run/warnings" | cut -c 1-$CARE_TROUBLE)
}

# care_places: what place_prepare did.
care_places() {
    care_upper=$run/upper care_held=0 care_tmp='' care_var='' care_scratch='' care_path=''
    [ -r "$run/places" ] || return 0
    while read -r care_word care_kind care_folder; do
        case $care_word:$care_kind in
        image:*) care_held=$care_kind ;;
        tmp:tmpfs) care_tmp=$care_folder ;;
        var:tmpfs) care_var=$care_folder ;;
        scratch:*) care_path=$care_kind ;;
        tmp:disk | var:disk) care_scratch=$care_path ;;
        esac
    done <"$run/places"
}

# care_look: $care_words, lines of a heartbeat.
care_look() {
    care_troubles='' care_used=0 care_limit=0 care_own=0 care_placed=0
    care_measure
    care_damage
    care_words="mode$TAB$care_mode${NEWLINE}ram-image$TAB$care_held${NEWLINE}ram-upper$TAB$care_used$NEWLINE"
    care_words="${care_words}upper-limit$TAB$care_limit${NEWLINE}ram-own$TAB$care_own$NEWLINE"
    [ $care_placed = 0 ] || care_words="${care_words}ram-placed$TAB$care_placed$NEWLINE"
    [ -z "$care_image" ] || care_words="${care_words}image$TAB$care_image$NEWLINE"
    [ -z "$care_plan" ] || care_words="${care_words}plan-digest$TAB$care_plan$NEWLINE"
    care_tell
}

# care_measure: one look at every file system that counts; KiB.
care_measure() {
    # shellcheck disable=SC2046,SC2086
    set -- $(stat -f -c '%n %S %b %f %a' $care_upper $run $care_tmp $care_var $care_scratch 2>/dev/null)
    while [ $# -ge 5 ]; do
        care_now=$((($3 - $4) * $2 / 1024)) care_most=$((($3 - $4 + $5) * $2 / 1024))
        case $1 in
        "$care_upper")
            [ "$care_mode" != tmpfs ] || care_now=$((care_now - care_held)) care_most=$((care_most - care_held))
            [ $care_now -gt 0 ] || care_now=0
            care_used=$care_now care_limit=$care_most
            care_full 'the upper layer'
            ;;
        "$run") care_own=$care_now ;;
        "$care_scratch") care_full "$1" ;;
        *)
            care_placed=$((care_placed + care_now))
            case $1 in "$care_var") care_full /var ;; *) care_full /tmp ;; esac
            ;;
        esac
        shift 5
    done
}

# care_full WHAT
care_full() {
    [ "$care_most" -gt 0 ] && [ $((care_now * 100)) -ge $((care_most * CARE_FULL)) ] || return 0
    care_trouble "$1 is full: $((care_now >> 10)) of $((care_most >> 10)) MiB"
}

care_trouble() {
    care_troubles=$care_troubles$1$NEWLINE
}

# care_damage: the blocks of the image that dm-verity has refused, each kept until the node boots anew. The kernel
# says `device-mapper: verity: 7:0: data block 12 is corrupted`, or `metadata block` for one of the hash tree.
care_damage() {
    [ -n "$care_device" ] || return 0
    care_lines=$(dmesg | grep -F "verity: $care_device: ")
    care_saved=$IFS
    IFS=$NEWLINE
    for care_line in $care_lines; do
        case $care_line in
        *' data block '*' is corrupted'*) care_block "${care_line##* data block }" '' ;;
        *' metadata block '*' is corrupted'*) care_block "${care_line##* metadata block }" ' of its hash tree' ;;
        esac
    done
    IFS=$care_saved
    care_troubles=$care_troubles$care_damages
}

# care_block 'NUMBER is corrupted' WHERE: told once in the log, and from now on in every heartbeat.
care_block() {
    case ${1%% *} in '' | *[!0-9]*) return 0 ;; esac
    care_line="image $care_version: block ${1%% *}$2 is damaged"
    case $NEWLINE$care_damages in *"$NEWLINE$care_line$NEWLINE"*) return 0 ;; esac
    [ $((care_blocks += 1)) -le $CARE_DAMAGES ] || return 0
    care_damages=$care_damages$care_line$NEWLINE
    log "$care_line"
}

# care_tell: the troubles as lines; of too many, the last line says how many more there are.
care_tell() {
    care_saved=$IFS
    IFS=$NEWLINE
    set -f
    # shellcheck disable=SC2086
    set -- $care_troubles $care_warnings
    set +f
    IFS=$care_saved
    care_shown=0
    for care_line; do
        care_shown=$((care_shown + 1))
        [ $care_shown != $CARE_TROUBLES ] || [ $# = $CARE_TROUBLES ] || care_line="and $(($# - CARE_TROUBLES + 1)) more"
        while [ ${#care_line} -gt $CARE_TROUBLE ]; do care_line=${care_line%?}; done
        care_words="${care_words}trouble$TAB$care_line$NEWLINE"
        [ $care_shown != $CARE_TROUBLES ] || return 0
    done
}

# care_resize SIZE: the limit of the upper layer that is wanted now. What is used cannot be taken away: the limit
# goes down to that, and further as soon as there is less.
care_resize() {
    [ "$1" != "$care_size" ] && [ "$care_limit" -gt 0 ] || return 0
    care_kilobytes "$1" || {
        log "upper: '$1' is no size"
        return
    }
    care_target=$kilobytes
    [ "$care_target" -ge "$care_used" ] || care_target=$care_used
    if [ "$care_target" != "$care_limit" ]; then
        care_remount || return 0
        log "upper: the limit is $((care_target >> 10)) MiB, $1 is wanted"
    fi
    [ "$care_target" != "$kilobytes" ] || care_size=$1
}

care_remount() {
    care_whole=$care_target
    [ "$care_mode" != tmpfs ] || care_whole=$((care_target + care_held))
    care_error=$(mount -o "remount,size=${care_whole}k" "$care_upper" 2>&1) || {
        log "upper: the limit cannot be $((care_target >> 10)) MiB: ${care_error##*: }"
        return 1
    }
    care_limit=$care_target
}

# care_kilobytes SIZE: $kilobytes of `50%` (of this machine's memory), `512m` or `2g`.
care_kilobytes() {
    case $1 in
    [1-9]% | [1-9][0-9]% | 100%)
        read -r _ kilobytes _ </proc/meminfo
        kilobytes=$((kilobytes * ${1%\%} / 100))
        ;;
    [1-9]*)
        plan_bytes "$1" || return
        kilobytes=$((bytes >> 10))
        ;;
    *) return 1 ;;
    esac
}

# care_forget: mounted anew with all that it has, an overlay forgets the names that no process has open; what stands
# there now is looked up again.
care_forget() {
    care_overlays=''
    while read -r care_word care_path care_kind _; do
        case $care_word:$care_kind in root:overlay | muster-var:overlay) care_overlays="$care_overlays $care_path" ;; esac
    done </proc/mounts
    for care_path in $care_overlays; do mount -o remount "$care_path" 2>/dev/null; done
}
