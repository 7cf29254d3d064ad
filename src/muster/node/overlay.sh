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

# overlay_lay FILE
overlay_lay() {
    lay_archive "$1" || {
        overlay_error="overlay: cannot be unpacked: $lay_error"
        return 1
    }
}
