# shellcheck shell=dash
# What only some plans need: kernel modules (`extra`), programs that busybox does not have (a `kit`: the programs
# and their libraries below /kit), the ACLs of the image. They lie in the initramfs and go with it at the hand-over.

# kit PROGRAM ARGS...: run a program of a kit. Its own loader and libraries come with it; udev is not here.
kit() {
    for kit_loader in /kit/lib/ld-linux*.so.*; do :; done
    kit_program=$1
    shift
    DM_DISABLE_UDEV=1 "$kit_loader" --library-path /kit/lib "/kit/bin/$kit_program" "$@"
}

# kits_fetch: all that the plan names and is not here yet. On failure $kit_error says what is wrong with which.
kits_fetch() {
    kit_error=''
    kit_blob extra kit_modules && kit_blob acls kit_keep || return
    plan_each kit kit_take
    [ -z "$kit_error" ]
}

# kit_take "NAME SHA256 SIZE URL": one kit; nothing more after the first failure.
kit_take() {
    [ -z "$kit_error" ] || return
    set -f
    # shellcheck disable=SC2086
    set -- $1
    set +f
    kit_fetch "kit ${1:-}" "${4:-}" "${3:-}" "${2:-}" kit_unpack
}

# kit_blob KEY FUNCTION: the blob KEY.sha256, KEY.size, KEY.url of the plan, if it names one.
kit_blob() {
    plan_value "$1.url" || return 0
    kit_url=$value
    plan_number "$1.size"
    kit_size=$value
    plan_digest "$1.sha256"
    kit_fetch "$1" "$kit_url" "$kit_size" "$value" "$2"
}

# kit_fetch WHAT URL SIZE SHA256 FUNCTION: fetched and checked, then given to the function as a file; once.
kit_fetch() {
    case ${kits_here:-} in *" $4 "*) return 0 ;; esac
    kit_file=/kit/fetched
    mkdir -p /kit
    blob_get "$2" "$kit_file" && blob_check "$kit_file" "$3" "$4" || {
        kit_error="$1: $blob_error"
        return 1
    }
    "$5" "$4" 2>"$run/complaint" || {
        IFS= read -r kit_error <"$run/complaint"
        kit_error="$1: cannot be unpacked: $kit_error"
        return 1
    }
    rm -f "$kit_file"
    kits_here="${kits_here:- }$4 "
}

kit_unpack() {
    tar -xzf "$kit_file" -C /
}

# kit_modules: below /lib/modules, beside those that every boot has; modules.dep knows both.
kit_modules() {
    (cd / && zcat "$kit_file" | cpio -idu)
}

kit_keep() {
    mv "$kit_file" "/kit/$1"
}
