# shellcheck shell=dash
# What the person at the console sees and can do. Everything here works without a fork where it can:
# a fork costs 5 to 10 ms on an emulated machine.

# say WORDS: one line on standard output (the console in init, the log in the agent) and, from init,
# in the kernel's log at debug level, so that the running node's journal still has it.
say() {
    printf 'muster: %s\n' "$*"
    [ -z "${say_kernel:-}" ] || printf '<7>muster: %s\n' "$*" 2>/dev/null >/dev/kmsg || :
}

# read_uptime: $uptime in seconds with two decimals, $centiseconds as a number.
read_uptime() {
    read -r uptime _ </proc/uptime
    centiseconds=${uptime%.*}${uptime#*.}
    while :; do
        case $centiseconds in
        0?*) centiseconds=${centiseconds#0} ;;
        *) break ;;
        esac
    done
}

# nap SECONDS: sleep without a process. Nobody writes into that pipe but a hasher, once, when it begins.
nap() {
    IFS= read -r -t "$1" _ <>"$run/nap" || :
}

# draw LEAST MOST: $seconds, drawn evenly, so that a thousand nodes do not come back together.
draw() {
    seconds=$(($1 + RANDOM % ($2 - $1 + 1)))
}

# pause LEAST MOST: wait a drawn time between two tries, with a shell on offer.
pause() {
    console_offer
    draw "$1" "$2"
    nap "$seconds"
    console_hold
}

# console_offer: from now on, the word `shell` typed on the console opens one. The word is asked for
# because noise on a serial line sends empty lines.
console_offer() {
    [ -z "${console_pid:-}" ] && [ -n "${say_kernel:-}" ] || return 0
    say 'type shell and press Enter for a shell on this console'
    # closed by exec: a redirection of the function itself would leave ash's saved copies open, and with them
    # the writing end of the pipe whose end the hasher waits for
    (exec 4<&- 5<&- 6>&- 7<&- && console_listen) </dev/console >/dev/console 2>&1 &
    console_pid=$!
}

console_listen() {
    while IFS= read -r line; do
        [ "$line" = shell ] || continue
        : >"$run/shell"
        open_shell
        rm -f "$run/shell"
    done
}

# console_hold: whoever has a shell open keeps the boot where it is.
console_hold() {
    [ -e "$run/shell" ] || return 0
    say 'the boot waits until the shell on the console is left'
    while [ -e "$run/shell" ]; do nap 1; done
}

console_close() {
    [ -n "${console_pid:-}" ] || return 0
    kill "$console_pid" 2>/dev/null
    wait "$console_pid" 2>/dev/null
    console_pid=''
}

# open_shell: an interactive shell on the console, until it is left.
open_shell() {
    say 'a shell of the initramfs; exit goes on with the boot'
    PS1='muster# ' setsid cttyhack sh </dev/console >/dev/console 2>&1
}

# mute, unmute: muster.debug traces every command; what handles the token is left out.
mute() {
    case $- in *x*)
        traced=1
        set +x
        ;;
    esac
}

unmute() {
    [ -z "${traced:-}" ] || set -x
}
