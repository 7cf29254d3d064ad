# shellcheck shell=dash
# Talking with the controller. Small calls go through nc, because wget would show the token to every
# user of the node in the list of processes, and hides the words of a refusal; blobs go through wget.
# Answers come through named pipes, so that waiting for them has a time limit and costs no process.

HTTP_MOST=262144 # bytes of a text answer that are read

http_prepare() {
    mkfifo -m 600 "$run/nap" "$run/request" "$run/answer" "$run/report" "$run/reported"
}

# http_address URL: $http_host $http_port $http_path
http_address() {
    case $1 in
    http://?*) ;;
    *)
        http_error="not an http:// address: $1"
        return 1
        ;;
    esac
    http_rest=${1#http://}
    http_path=/${http_rest#*/}
    http_where=${http_rest%%/*}
    [ "$http_where" != "$http_rest" ] || http_path=/
    http_port=${http_where##*:}
    http_host=${http_where%:*}
    case $http_where in
    *]) http_host=$http_where http_port=80 ;;
    *:*) ;;
    *) http_port=80 ;;
    esac
    http_host=${http_host#[} http_host=${http_host%]}
}

# http_call METHOD URL SECONDS BODY [FILE]: succeeds with the answer in $http_body (or FILE) when it
# has a 2xx status and is whole. Else $http_error says why, and $http_status is empty or the status.
# SECONDS is how long the other side may stay silent.
http_call() {
    mute
    http_status='' http_error='' http_body='' http_length='' http_type=''
    http_address "$2" && http_exchange "$@"
    http_result=$?
    unmute
    return $http_result
}

http_exchange() {
    exec 8<>"$run/request" 9<>"$run/answer"
    http_request "$1" "$4" >&8
    # nc keeps both ends of its input pipe, so that it never sees an end and never half-closes. The end of
    # its output is its own end: ours is opened for reading only once nc has one. No open here blocks:
    # a child's death would break it off, and with it PID 1.
    nc -w 10 "$http_host" "$http_port" <&8 >&9 2>&1 8>&- 9>&- &
    http_pid=$!
    exec 9<"$run/answer" 8>&-
    http_head "$3" && http_take "$3" "${5:-}"
    http_done=$?
    http_stop
    return $http_done
}

http_stop() {
    [ -n "${http_pid:-}" ] || return 0
    exec 9<&-
    kill "$http_pid" 2>/dev/null
    wait "$http_pid" 2>/dev/null
    http_pid=''
}

http_request() {
    printf '%s %s HTTP/1.0\r\nHost: %s\r\nUser-Agent: muster-node\r\nConnection: close\r\n' \
        "$1" "$http_path" "$http_where"
    [ -z "${http_token:-}" ] || printf 'Authorization: Bearer %s\r\n' "$http_token"
    [ "$1" = GET ] || printf 'Content-Type: text/plain\r\nContent-Length: %s\r\n' ${#2}
    printf '\r\n%s' "$2"
}

# http_head SECONDS: status line and headers.
http_head() {
    http_line=''
    read_uptime
    http_since=$centiseconds
    IFS= read -r -t "$1" http_line <&9 || {
        read_uptime
        if [ $((centiseconds - http_since)) -ge $(($1 * 100 - 20)) ]; then
            http_error="no answer from $http_where in $1 s"
        else
            http_error="$http_where closed the connection without an answer"
        fi
        return 1
    }
    http_words "${http_line%"$CR"}" || return
    while IFS= read -r -t "$1" http_line <&9; do
        http_line=${http_line%"$CR"}
        case $http_line in
        '') return 0 ;;
        [Cc]ontent-[Ll]ength:*) http_length=${http_line#*:} http_length=${http_length# } ;;
        [Cc]ontent-[Tt]ype:*) http_type=${http_line#*:} http_type=${http_type# } ;;
        esac
    done
    http_error="$http_where closed the connection in the middle of an answer"
    return 1
}
CR=$(printf '\r')

# http_words LINE: the first line is the status, or what nc has to complain of.
http_words() {
    case $1 in
    HTTP/1.*)
        http_reason=${1#* }
        http_status=${http_reason%% *}
        return 0
        ;;
    "nc: can't connect"*) http_error="cannot connect to $http_where: ${1##*: }" ;;
    'nc: bad address'*) http_error="cannot find the address of $http_host" ;;
    'nc: timed out'*) http_error="cannot connect to $http_where: no answer" ;;
    nc:*) http_error="$http_where: ${1#nc: }" ;;
    *) http_error="$http_where does not speak HTTP" ;;
    esac
    return 1
}

# http_take SECONDS [FILE]: the body, and whether it is what was asked for.
http_take() {
    case $http_status in
    2??) ;;
    *)
        http_text "$1" || :
        http_line=${http_body%%"$NEWLINE"*}
        case $http_line in '' | '<'*) http_error="the controller answered $http_reason" ;;
        *) http_error="the controller answered $http_reason: $http_line" ;; esac
        return 1
        ;;
    esac
    case $http_type in text/html*)
        http_error="$http_where answered with a web page, not as a controller: is a proxy or portal in between?"
        return 1
        ;;
    esac
    if [ -n "${2:-}" ]; then
        timeout 300 cat <&9 2>/dev/null >"$2" || {
            http_error="the answer of $http_where does not end or cannot be stored in $2"
            return 1
        }
    else
        http_text "$1"
    fi
}

# http_text SECONDS: $http_body, bounded, and checked against Content-Length.
http_text() {
    http_count=0
    while http_line='' && IFS= read -r -t "$1" http_line <&9; do
        http_body=$http_body$http_line$NEWLINE
        http_count=$((http_count + ${#http_line} + 1))
        [ "$http_count" -lt "$HTTP_MOST" ] || break
        [ "$http_count" != "$http_length" ] || return 0
    done
    http_body=$http_body$http_line
    http_count=$((http_count + ${#http_line}))
    [ -z "$http_length" ] || [ "$http_count" = "$http_length" ] || {
        http_error="the answer of $http_where is cut short: $http_count of $http_length bytes"
        return 1
    }
}
