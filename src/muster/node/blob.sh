# shellcheck shell=dash
# A blob: fetched from any of several servers, continued where it broke off, hashed while it arrives.
# Checked in this order, each with its own words: status, kind, length, hash. Resumption is a plain
# Range request; never If-Range.

BLOB_TICK=0.5          # seconds between two looks at a download
BLOB_SILENCE=30        # seconds without a byte after which a server is given up
BLOB_LONGEST=120       # seconds for a small blob
BLOB_PIECES=128        # of 64 KiB, hashed between two looks at the clock

# blob_fetch FILE SIZE URL...: one round over the servers. Succeeds when FILE has SIZE bytes.
# Each failure is told and reported; $blob_error is the last.
blob_fetch() {
    blob_file=$1 blob_size=$2
    shift 2
    [ -e "$blob_file" ] || : >"$blob_file"
    # too much came before a server fell silent
    [ "$(stat -c %s "$blob_file")" -le "$blob_size" ] || : >"$blob_file"
    blob_follow
    for blob_url; do
        while blob_have=$(stat -c %s "$blob_file") && [ "$blob_have" -lt "$blob_size" ]; do
            blob_try && continue
            blob_told
            blob_grown || break
            pause 1 3
        done
        [ "$blob_have" != "$blob_size" ] || return 0
    done
    return 1
}

blob_told() {
    say "$blob_error"
    report download failed '' "$blob_error"
}

# blob_grown: did the last try bring bytes that can be kept? Then the same server is worth another.
blob_grown() {
    [ "$(stat -c %s "$blob_file")" -gt "$blob_have" ]
}

# blob_follow: hash the file from its start. The position of descriptor 7 is shared with each `dd`,
# so that the next one goes on where the last one ended, and /proc knows how far that is.
blob_follow() {
    blob_unfollow
    mkfifo -m 600 "$run/hash" "$run/wget" 2>/dev/null || :
    exec 3<>"$run/nap" 6<>"$run/hash" 7<"$blob_file"
    # the hasher says when it has its end of the pipe; what is written before that could be lost
    { echo >&3 && exec sha256sum 3>&-; } <"$run/hash" >"$run/sum" 5<&- 6>&- 7<&- &
    blob_hash_pid=$!
    IFS= read -r -t 10 _ <&3
    # from here on the pipe is only written to: should the hasher die, `dd` ends too and does not wait for ever
    exec 3>&- 6>"$run/hash"
    blob_position=0
}

blob_unfollow() {
    [ -n "${blob_hash_pid:-}" ] || return 0
    exec 6>&- 7<&-
    wait "$blob_hash_pid"
    blob_hash_pid=''
}

# blob_again: throw away what came.
blob_again() {
    blob_unfollow
    : >"$blob_file"
    blob_follow
}

# blob_try: one request. Succeeds when the connection ended with all bytes there.
blob_try() {
    blob_error='' blob_status=''
    # stdout of wget is never used; its stderr carries headers and complaints
    exec 4<>"$run/wget"
    wget -q -c -S -O "$blob_file" "$blob_url" 2>&4 4>&- 5<&- 6>&- 7<&- &
    blob_pid=$!
    exec 4<"$run/wget"
    blob_watch
    blob_watched=$?
    exec 4<&-
    kill "$blob_pid" 2>/dev/null
    wait "$blob_pid" 2>/dev/null
    [ "$blob_watched" = 0 ] || {
        [ "$blob_watched" != 2 ] || blob_again
        return 1
    }
    blob_verdict
}

# blob_watch: read what wget says until it ends. 1: give up this try; 2: and throw away what came.
blob_watch() {
    read_uptime
    blob_alive=$centiseconds
    while :; do
        blob_since=$centiseconds blob_line=''
        if IFS= read -r -t $BLOB_TICK blob_line <&4; then
            blob_header "${blob_line%"$CR"}" || return
            continue
        fi
        read_uptime
        blob_progress
        # a pipe that answers before its time has no writer any more: wget has ended
        [ $((centiseconds - blob_since)) -ge 40 ] || return 0
        [ $((centiseconds - blob_alive)) -lt $((BLOB_SILENCE * 100)) ] || {
            blob_error="$blob_url: no byte for $BLOB_SILENCE s, at $blob_position of $blob_size bytes"
            return 1
        }
    done
}

# blob_header LINE: a header that wget -S shows, or a complaint.
blob_header() {
    case $1 in
    '  HTTP/'*) blob_status=${1#  HTTP/* } ;;
    '  '[Cc]ontent-[Tt]ype:*text/html*)
        case $blob_status in 2*) ;; *) return 0 ;; esac
        blob_error="$blob_url: answered with a web page (text/html), not with the blob: is a proxy or portal in between?"
        return 2
        ;;
    '  '[Cc]ontent-[Ll]ength:*)
        case $blob_status in 200*) ;; *) return 0 ;; esac
        blob_length "${1##*: }" || return
        ;;
    '  '[Cc]ontent-[Rr]ange:*/[0-9]*) blob_length "${1##*/}" || return ;;
    'wget: server returned error: '*) blob_error="$blob_url: the server answered ${1#*: HTTP/* }" ;;
    "wget: can't connect"*) blob_error="$blob_url: cannot connect: ${1##*: }" ;;
    'wget: bad address'*) blob_error="$blob_url: cannot find the address of its server" ;;
    'wget: '*) blob_error="$blob_url: ${1#wget: }" ;;
    esac
    return 0
}

# blob_length BYTES: what the server says it has in all.
blob_length() {
    [ "$1" != "$blob_size" ] || return 0
    if [ "$1" -lt "$blob_size" ]; then
        blob_error="$blob_url: truncated on the server: it has $1 of $blob_size bytes"
    else
        blob_error="$blob_url: too long on the server: it has $1 bytes, $blob_size were promised"
    fi
    return 2
}

# blob_verdict: wget has ended; say how.
blob_verdict() {
    blob_now=$(stat -c %s "$blob_file")
    [ "$blob_now" != "$blob_size" ] || return 0
    if [ "$blob_now" -gt "$blob_size" ]; then
        blob_error="$blob_url: too long: $blob_now bytes came, $blob_size were promised"
    elif [ "$(head -c 1 "$blob_file")" = '<' ]; then
        blob_error="$blob_url: answered with a web page, not with the blob: is a proxy or portal in between?"
    else
        case $blob_error in
        '' | *': connection closed'* | *': error getting response'*)
            case $blob_status in
            2*) blob_error="$blob_url: the connection broke at $blob_now of $blob_size bytes" ;;
            *) blob_error="$blob_url: the server closed the connection without an answer" ;;
            esac
            ;;
        esac
        return 1
    fi
    blob_again
    return 1
}

# blob_progress: hash what is new, piece by piece: behind a fast server the file grows as fast as it is
# hashed, and one copy without a bound would tell nothing before the end.
blob_progress() {
    while :; do
        blob_before=$blob_position
        dd bs=65536 count=$BLOB_PIECES <&7 >&6 2>/dev/null
        read -r _ blob_position </proc/self/fdinfo/7
        [ "$blob_position" != "$blob_before" ] || return 0
        read_uptime
        blob_alive=$centiseconds
        progress download "$blob_position" "$blob_size"
        [ $((blob_position - blob_before)) -ge $((BLOB_PIECES * 65536)) ] || return 0
    done
}

# blob_verify FILE SHA256: the bytes are what the plan promised. On failure $blob_error says so, and the
# file is emptied. The hash made on the way is enough to accept; only the file itself is enough to refuse.
blob_verify() {
    blob_file=$1 blob_sum=''
    if [ -n "${blob_hash_pid:-}" ]; then
        cat <&7 >&6 2>/dev/null
        blob_unfollow
        read -r blob_sum _ <"$run/sum"
    fi
    [ "$blob_sum" = "$2" ] || blob_sum=$(sha256sum "$1") blob_sum=${blob_sum%% *}
    [ "$blob_sum" != "$2" ] || return 0
    : >"$1"
    blob_error="the bytes are damaged: their sha256 is $blob_sum, the plan promised $2"
    return 1
}

# blob_get URL FILE: a small blob, in one try; the token of this boot is not shown to who has it. On failure
# $blob_error says why.
blob_get() {
    blob_url=$1 blob_error="$1: not here after $BLOB_LONGEST s"
    timeout "$BLOB_LONGEST" wget -q -O "$2" "$1" 2>"$run/complaint" && return
    while IFS= read -r blob_line; do blob_header "$blob_line"; done <"$run/complaint"
    return 1
}

# blob_check FILE SIZE SHA256: of a small blob, whether it is what was promised: its length, then its hash.
blob_check() {
    blob_now=$(stat -c %s "$1")
    [ "$blob_now" = "$2" ] || {
        blob_error="$blob_now bytes came, the plan promised $2"
        return 1
    }
    blob_sum=$(sha256sum "$1")
    [ "${blob_sum%% *}" = "$3" ] || {
        blob_error="damaged: its sha256 is ${blob_sum%% *}, the plan promised $3"
        return 1
    }
}
