# shellcheck shell=dash
# The plan: `key TAB value` lines, never evaluated. The token is taken out and kept apart (0600).

PLAN_VERSION=1
TAB='	'
NEWLINE='
'

# plan_take: make the last answer ($http_body) the plan. Fails, with words in $plan_error, when it is none.
plan_take() {
    mute
    plan_split
    plan_status=$?
    unmute
    return $plan_status
}

plan_split() {
    plan_first=${http_body%%"$NEWLINE"*}
    case $plan_first in
    "muster-plan$TAB$PLAN_VERSION") ;;
    "muster-plan$TAB"*)
        plan_error="the plan has version ${plan_first#*"$TAB"}, this node's software knows version $PLAN_VERSION"
        return 1
        ;;
    *)
        plan_error="the answer of the controller is no plan"
        return 1
        ;;
    esac
    plan_text=$NEWLINE$http_body
    if plan_value token; then
        http_token=$value
        plan_text=${plan_text%%"$NEWLINE"token"$TAB"*}$NEWLINE${plan_text#*"$NEWLINE"token"$TAB$value$NEWLINE"}
        (umask 077 && printf '%s\n' "$http_token" >"$run/token")
    fi
}

# plan_value KEY: $value is the first value of the key; fails, with $value empty, when there is none.
plan_value() {
    value=''
    plan_rest=${plan_text#*"$NEWLINE$1$TAB"}
    [ "$plan_rest" != "$plan_text" ] || return 1
    value=${plan_rest%%"$NEWLINE"*}
}

# plan_each KEY FUNCTION: call the function with each value of a repeated key, in order.
plan_each() {
    plan_walk=$plan_text
    while :; do
        plan_rest=${plan_walk#*"$NEWLINE$1$TAB"}
        [ "$plan_rest" != "$plan_walk" ] || return 0
        plan_walk=$NEWLINE${plan_rest#*"$NEWLINE"}
        "$2" "${plan_rest%%"$NEWLINE"*}"
    done
}

# plan_count KEY PATTERN...: is the value of the key made of digits only?
plan_number() {
    plan_value "$1" || return 1
    case $value in '' | *[!0-9]*) return 1 ;; esac
}

# plan_bytes SIZE: $bytes of `512m` or `2g`.
plan_bytes() {
    bytes=${1%?}
    case $bytes in '' | *[!0-9]* | ???????*) return 1 ;; esac
    case $1 in
    *m) bytes=$((bytes << 20)) ;;
    *g) bytes=$((bytes << 30)) ;;
    *) return 1 ;;
    esac
}

# plan_digest KEY: is the value of the key a sha256 in hex?
plan_digest() {
    plan_value "$1" || return 1
    case $value in *[!0-9a-f]*) return 1 ;; esac
    [ ${#value} = 64 ]
}
