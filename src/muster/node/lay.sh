# shellcheck shell=dash
# Laying files over the new root: the controller's overlay and the image's own early overrides.
#
# What is kept: contents, owner (by name where the image knows it), mode, times, hard and symbolic links.
# Not kept: xattrs, ACLs and capabilities, which busybox's tar does not know.
# Everything happens in a chroot: nothing leaves the new root, and the image's own absolute links (/var/run)
# lead to where they will lead.
# An entry .wh.NAME removes NAME, .wh..wh..opq all that was in its folder, before anything is laid (OCI
# image specification, "Whiteouts").

lay_in() {
    chroot "$newroot" "$run/bin/busybox" "$@"
}

# lay_archive FILE: a tar, also in gzip, bzip2 or xz; FILE as the new root names it.
lay_archive() {
    lay_packed=$(lay_how "$1") || {
        lay_error='it is empty or cannot be read'
        return 1
    }
    lay_over cat "$1"
}

# lay_how FILE: the option of tar, by the magic number at the start of the file.
lay_how() {
    case $(lay_in od -An -tx1 -N3 "$1" 2>/dev/null) in
    '') return 1 ;;
    ' 1f 8b'*) echo z ;;
    ' 42 5a 68') echo j ;;
    ' fd 37 7a') echo J ;;
    esac
}

# lay_folder FOLDER: what is in a folder of the new root, laid over its top.
lay_folder() {
    lay_packed=''
    lay_over tar -c -C "$1" .
}

# lay_over COMMAND...: lay the archive that the command writes. It is read whole before anything is changed: what a
# length or a checksum shows to be damaged leaves the root as it was. $lay_error says what is wrong; the status is 1
# when nothing was changed and 2 when something may have been.
lay_over() {
    : >"$run/lay.errors"
    if ! lay_read "-tv$lay_packed" "$@" >"$run/lay.list"; then
        lay_status=1
    elif lay_clear before && lay_read "-xp$lay_packed" "$@" && lay_clear after; then
        lay_status=0
    else
        lay_status=2
    fi
    lay_error=''
    [ $lay_status = 0 ] || IFS= read -r lay_error <"$run/lay.errors" || lay_error='cannot be unpacked'
    lay_error=${lay_error#*: }
    rm -f "$run/lay.list" "$run/lay.errors" "$run/lay.broken"
    return $lay_status
}

# lay_read OPTIONS COMMAND...: tar with these options reads what the command writes; both must succeed. Through a
# pipe, because tar skips the contents of a file when it only lists them, and so would miss that they are cut off.
lay_read() {
    lay_options=$1
    shift
    rm -f "$run/lay.broken"
    { lay_in "$@" || : >"$run/lay.broken"; } 2>>"$run/lay.errors" |
        lay_in tar "$lay_options" -C / 2>>"$run/lay.errors" && [ ! -e "$run/lay.broken" ]
}

# lay_clear before|after: make way for what the list names, or take the whiteouts themselves away again.
lay_clear() {
    lay_in sh -s "$1" <"$lib/lay-clear" 9<"$run/lay.list" 2>>"$run/lay.errors"
}
