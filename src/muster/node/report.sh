# shellcheck shell=dash
# What the node says at each stage. A lost report never stops a boot; reports keep their order: one is
# sent while the boot goes on, and the next waits for it, three seconds at most.

# report STAGE STATUS [PERCENT] [MESSAGE]
report() {
    mute
    report_send "$@"
    unmute
    return 0
}

report_send() {
    report_finish
    [ -n "${url_report:-}" ] && http_address "$url_report" || return 0
    read_uptime
    report_body="stage$TAB$1${NEWLINE}status$TAB$2${NEWLINE}uptime$TAB$uptime$NEWLINE"
    [ -z "${3:-}" ] || report_body="${report_body}percent$TAB$3$NEWLINE"
    [ -z "${4:-}" ] || report_body="${report_body}message$TAB$4$NEWLINE"
    exec 8<>"$run/report" 5<>"$run/reported"
    http_request POST "$report_body" >&8
    nc -w 3 "$http_host" "$http_port" <&8 >&5 2>/dev/null 8>&- 4>&- 5>&- 6>&- 7>&- &
    report_pid=$!
    exec 5<"$run/reported" 8>&-
}

# report_finish: let the last report arrive.
report_finish() {
    [ -n "${report_pid:-}" ] || return 0
    # to the end, so that nothing of this answer can be taken for the next one's
    while IFS= read -r -t 3 _ <&5; do :; done
    exec 5<&-
    kill "$report_pid" 2>/dev/null
    wait "$report_pid" 2>/dev/null
    report_pid=''
}
