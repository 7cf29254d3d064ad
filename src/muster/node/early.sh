# shellcheck shell=dash
# The image's own early overrides, for one machine, by the MAC it booted from: first the archives
# /etc/overlays/MAC.* in the order of their names, then the folder /etc/overlays/MAC, which wins. They are laid
# before init starts, so before anything reads fstab; the controller's overlay comes after them and wins.
# Names in them are relative to /. (In older seed layouts they were relative to /etc: put such a tree into a
# folder etc/.) The MAC is in lower case with colons; upper case and dashes are understood, too.

EARLY_FOLDER=/etc/overlays

# early_lay: never fails. An archive that is damaged is named in a warning and left out.
early_lay() {
    [ -e "$newroot$EARLY_FOLDER" ] || [ -L "$newroot$EARLY_FOLDER" ] || return 0
    early_pattern "$net_mac"
    early_names=$(lay_in ls -A $EARLY_FOLDER 2>/dev/null)
    early_each early_archive "$early_mac.*"
    early_each early_folder "$early_mac"
}

# early_pattern MAC: $early_mac matches every way to write it.
early_pattern() {
    early_mac='' early_rest=$1
    while [ -n "$early_rest" ]; do
        early_next=${early_rest#?}
        case ${early_rest%"$early_next"} in
        a) early_mac="${early_mac}[aA]" ;;
        b) early_mac="${early_mac}[bB]" ;;
        c) early_mac="${early_mac}[cC]" ;;
        d) early_mac="${early_mac}[dD]" ;;
        e) early_mac="${early_mac}[eE]" ;;
        f) early_mac="${early_mac}[fF]" ;;
        :) early_mac="${early_mac}[:-]" ;;
        *) early_mac=$early_mac${early_rest%"$early_next"} ;;
        esac
        early_rest=$early_next
    done
}

# early_each FUNCTION PATTERN: call the function with the path of each entry whose name matches.
early_each() {
    early_saved=$IFS
    IFS=$NEWLINE
    set -f
    # shellcheck disable=SC2086
    for early_name in $early_names; do
        # the pattern is one, so it is not quoted
        # shellcheck disable=SC2254
        case $early_name in $2)
            IFS=$early_saved
            "$1" "$EARLY_FOLDER/$early_name"
            IFS=$NEWLINE
            ;;
        esac
    done
    set +f
    IFS=$early_saved
}

early_archive() {
    lay_archive "$1"
    early_tell "$1" $?
}

early_folder() {
    lay_folder "$1"
    early_tell "$1/" $?
}

# early_tell PATH STATUS
early_tell() {
    case $2 in
    0) say "early overrides: $1" ;;
    1) warn "early overrides: $1 is left out: $lay_error" ;;
    *) warn "early overrides: $1 could not be laid wholly: $lay_error" ;;
    esac
}
