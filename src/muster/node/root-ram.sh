# shellcheck shell=dash
# Root mode `ram`: the squashfs in RAM ($run/ram, a tmpfs of just its size), a tmpfs over it.

# One round over the servers of the image; the round starts one server later each time.
root_fetch() {
    plan_number root.size
    root_size=$value
    plan_digest root.sha256
    [ "$value" != "${root_held:-}" ] || return 0
    [ "$value" = "${root_wanted:-}" ] || root_drop
    root_wanted=$value
    root_room "$root_size" || return
    servers_in_turn
    saved=$IFS
    IFS=$NEWLINE
    # shellcheck disable=SC2086
    set -- $servers
    IFS=$saved
    blob_error='the plan names no server for the image'
    blob_fetch "$root_file" "$root_size" "$@" || {
        root_error="no server gave the image: $blob_error"
        return 1
    }
}

# root_room SIZE: a place for the blob of SIZE bytes: $root_file.
root_room() {
    root_file=$run/ram/root.squashfs
    [ -s "$root_file" ] || root_memory "$1" 'the image' || return
    if [ -e "$run/ram" ]; then
        mount -o "remount,size=$(($1 + 65536))" "$run/ram" && return
    fi
    mkdir -p "$run/ram"
    mount -t tmpfs -o "mode=700,nosuid,nodev,size=$(($1 + 65536))" muster-ram "$run/ram" || {
        root_error="no tmpfs of $1 bytes for the image"
        return 1
    }
}

servers_in_turn() {
    servers='' last_servers='' server_number=0
    plan_each root.url server_count
    server_total=$server_number server_number=0
    plan_each root.url server_place
    servers=$servers$last_servers
}

server_count() {
    server_number=$((server_number + 1))
}

server_place() {
    if [ "$server_number" -lt $((failures % server_total)) ]; then
        last_servers=$last_servers$1$NEWLINE
    else
        servers=$servers$1$NEWLINE
    fi
    server_number=$((server_number + 1))
}

root_check() {
    [ "$root_wanted" != "${root_held:-}" ] || return 0
    blob_verify "$root_file" "$root_wanted" || {
        root_error=$blob_error
        return 1
    }
    root_held=$root_wanted
}

root_prepare() {
    root_device "$root_file" && root_lower && root_upper
}
