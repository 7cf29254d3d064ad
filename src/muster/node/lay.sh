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

# lay_archive FILE: a tar, also in gzip, bzip2 or xz; FILE as the new root names it. It is read whole before
# anything is changed: damage that a checksum shows leaves the root as it was. $lay_error says what is wrong.
lay_archive() {
    lay_how "$1" || {
        lay_error='it is empty or cannot be read'
        return 1
    }
    lay_in tar "-tv$lay_packed" -f "$1" >"$run/lay.list" 2>"$run/lay.errors" </dev/null &&
        lay_clear before &&
        lay_in tar "-xp$lay_packed" -f "$1" -C / 2>"$run/lay.errors" </dev/null &&
        lay_clear after
    lay_end
}

# lay_how FILE: the option of tar, by the magic number at the start of the file.
lay_how() {
    case $(lay_in od -An -tx1 -N3 "$1" 2>/dev/null) in
    '') return 1 ;;
    ' 1f 8b'*) lay_packed=z ;;
    ' 42 5a 68') lay_packed=j ;;
    ' fd 37 7a') lay_packed=J ;;
    *) lay_packed='' ;;
    esac
}

# lay_folder FOLDER: what is in a folder of the new root, laid over its top.
lay_folder() {
    lay_copy "$1" tar -tv >"$run/lay.list" 2>"$run/lay.errors" &&
        lay_clear before &&
        lay_copy "$1" tar -xp -C / 2>"$run/lay.errors" &&
        lay_clear after
    lay_end
}

# lay_copy FOLDER COMMAND...: give the folder as a tar to the command; both must succeed.
lay_copy() {
    lay_source=$1
    shift
    rm -f "$run/lay.broken"
    { lay_in tar -c -C "$lay_source" . || : >"$run/lay.broken"; } | lay_in "$@" && [ ! -e "$run/lay.broken" ]
}

# lay_clear before|after: make way for what the list names, or take the whiteouts themselves away again.
lay_clear() {
    lay_in sh -s "$1" <"$lib/lay-clear" 9<"$run/lay.list" 2>>"$run/lay.errors"
}

lay_end() {
    lay_status=$? lay_error=''
    [ $lay_status = 0 ] || IFS= read -r lay_error <"$run/lay.errors" || :
    lay_error=${lay_error#tar: }
    rm -f "$run/lay.list" "$run/lay.errors" "$run/lay.broken"
    return $lay_status
}
