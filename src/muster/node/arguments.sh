# shellcheck shell=dash
# The kernel arguments that concern us (the list is model/kernel_arguments.py).

# read_arguments FILE: $server, $bootif (a MAC), $break_stage, $debug, $static from a kernel command line.
read_arguments() {
    server='' bootif='' break_stage='' debug='' static=''
    read -r arguments <"$1" || :
    set -f
    for word in $arguments; do
        case $word in
        muster.server=*) server=${word#*=} ;;
        muster.break=*) break_stage=${word#*=} ;;
        muster.debug) debug=1 ;;
        BOOTIF=*) mac_of_bootif "${word#*=}" ;;
        ip=:*) ;; # an empty address: DHCP
        ip=*:*) static=${word#*=} ;;
        esac
    done
    set +f
    server=${server%/}
}

# mac_of_bootif 01-52-54-00-00-00-01: $bootif becomes 52:54:00:00:00:01 (the first pair is the hardware type).
mac_of_bootif() {
    bootif=$1
    case $1 in *[A-F]*) bootif=$(echo "$1" | tr A-F a-f) ;; esac
    case $bootif in ??-*) bootif=${bootif#??-} ;; esac
    set -f
    saved=$IFS
    IFS=-
    # shellcheck disable=SC2086
    set -- $bootif
    IFS=:
    bootif="$*"
    IFS=$saved
}
