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

# warn WORDS: something is not as it was asked for, and the boot goes on. The agent keeps telling it.
warn() {
    say "warning: $1"
    printf '%s\n' "$1" >>"$run/warnings"
    report "${stage_name:-handover}" warning '' "$1"
}

PROGRESS_EVERY=100 # centiseconds between two progress reports, at least

# progress STAGE DONE TOTAL: bytes as a percentage, on the console at each ten, in a report when the last one
# is old enough.
progress() {
    progress_percent=$(($2 * 100 / $3))
    read_uptime
    [ $((centiseconds - ${progress_last:-0})) -ge $PROGRESS_EVERY ] && [ "$progress_percent" != "${progress_shown:-0}" ] || return 0
    [ $((progress_percent / 10)) = $((${progress_shown:-0} / 10)) ] || [ "$3" -lt 1048576 ] || say "$1: $progress_percent % of $(($3 >> 20)) MiB"
    progress_shown=$progress_percent progress_last=$centiseconds
    report "$1" progress "$progress_percent"
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
