# shellcheck shell=dash
# The node's overlay: a tar.gz rendered by the controller, laid over the new root before its init starts.

# overlay_fetch FILE: fetched and checked; $overlay_error says what is wrong with it. A plan that is out of date
# leaves $http_status 409.
overlay_fetch() {
    plan_value url.overlay
    http_call GET "$value" 30 '' "$1" || {
        overlay_error="overlay: $http_error"
        return 1
    }
    plan_number overlay.size
    overlay_size=$value
    plan_digest overlay.sha256
    blob_check "$1" "$overlay_size" "$value" || {
        overlay_error="overlay: $blob_error"
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
