# shellcheck shell=dash
# A root whose image is a tree that is edited meanwhile (NAME@live). An overlay keeps for each name of its lower layer
# the file that it was; once another file stands there on the server, the name is a `Stale file handle` until no process
# has the old one and the kernel has forgotten it. No program could be started whose library was replaced under it.
# So programs and libraries are the server's own files, without an overlay and read-only, where the node has laid
# nothing; for all else the agent lets the kernel forget, every few seconds, what no process has open.

LIVE_FOLDERS='usr bin sbin lib lib32 lib64 libx32'

# live_prepare: after all overlays are laid.
live_prepare() {
    for live_folder in $LIVE_FOLDERS; do live_direct "/$live_folder"; done
}

# live_direct PATH: the folder itself, or, where the node has laid something in it, those of its folders where it has not.
live_direct() {
    [ -d "$run/lower$1" ] && [ ! -L "$run/lower$1" ] || return 0
    if [ ! -e "$run/upper/files$1" ] && [ ! -L "$run/upper/files$1" ]; then
        place_mount "$newroot$1" -o bind "$run/lower$1" || warn "$1 lies under the node's own layer: $place_error"
        return 0
    fi
    [ -d "$newroot$1" ] || return 0
    for live_inner in "$run/lower$1"/*; do live_direct "$1/${live_inner##*/}"; done
}
