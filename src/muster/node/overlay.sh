# shellcheck shell=dash
# The node's overlay: a tar.gz rendered by the controller, laid over the new root before its init starts.

# overlay_fetch FILE: fetched and checked by status, then length, then hash, each with its own words in
# $overlay_error. Fails with 2 when the plan is out of date (409).
overlay_fetch() {
    plan_value url.overlay
    http_call GET "$value" 30 '' "$1" || {
        overlay_error="overlay: $http_error"
        [ "$http_status" != 409 ] || return 2
        return 1
    }
    plan_number overlay.size
    overlay_bytes=$(stat -c %s "$1")
    [ "$overlay_bytes" = "$value" ] || {
        overlay_error="overlay: $overlay_bytes bytes came, the plan promised $value"
        return 1
    }
    plan_digest overlay.sha256
    overlay_sum=$(sha256sum "$1")
    [ "${overlay_sum%% *}" = "$value" ] || {
        overlay_error="overlay: damaged: its sha256 is ${overlay_sum%% *}, the plan promised $value"
        return 1
    }
}

# overlay_lay FILE: unpack inside the new root, so that the image's own absolute links (/var/run) lead
# to where they will lead; an entry .wh.NAME removes NAME.
overlay_lay() {
    chroot "$newroot" "$run/bin/busybox" tar -xzpvf "$1" -C / >"$run/overlay.names" 2>"$run/overlay.errors" || {
        IFS= read -r overlay_error <"$run/overlay.errors"
        overlay_error="overlay: cannot be unpacked: $overlay_error"
        return 1
    }
    while IFS= read -r overlay_name; do
        overlay_file=${overlay_name##*/}
        case $overlay_file in .wh.?*) ;; *) continue ;; esac
        overlay_folder=${overlay_name%"$overlay_file"}
        chroot "$newroot" "$run/bin/busybox" rm -rf "/$overlay_folder$overlay_file" "/$overlay_folder${overlay_file#.wh.}"
    done <"$run/overlay.names"
    rm -f "$run/overlay.names" "$run/overlay.errors"
}
