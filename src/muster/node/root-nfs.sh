# shellcheck shell=dash
# Root mode `nfs`: the squashfs stays a file on the controller; or, for NAME@live, the image's editable tree is the
# lower layer itself: without verity, and an edit shows when the attributes that are kept have grown old.

ROOT_LIVE_SECONDS=3 # for which attributes of a file are kept, unless the plan says otherwise

root_fetch() {
    root_drop
    if plan_live; then
        plan_number nfs.actimeo || value=$ROOT_LIVE_SECONDS
        nfs_mount "$run/lower" "actimeo=$value"
    else
        nfs_image
    fi || {
        root_error=$nfs_error
        return 1
    }
}

# There is nothing to check here: verity checks each block when it is read.
root_check() { :; }

root_prepare() {
    if plan_live; then
        root_upper
        return
    fi
    root_device "$root_file" || return
    # the loop device alone holds it from here on: no shutdown of the image can unmount its own root
    umount -l "$run/nfs"
    root_lower && root_upper
}
