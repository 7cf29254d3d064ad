# shellcheck shell=dash
# Drivers: whatever the devices that the kernel found ask for by modalias, and what the root needs.

# modules_load: one modprobe for all devices, again while new buses show new devices (virtio, USB,
# auxiliary functions of NICs), at most four times.
modules_load() {
    modules_seen=''
    for _ in 1 2 3 4; do
        modules_wanted=$(cat /sys/bus/*/devices/*/modalias 2>/dev/null)
        [ "$modules_wanted" != "$modules_seen" ] || break
        set -f
        # shellcheck disable=SC2086
        modprobe -abq $1 $modules_wanted 2>/dev/null
        set +f
        modules_seen=$modules_wanted
    done
    case $(echo /sys/class/infiniband/*) in
    *'*') ;;
    *) modprobe -q ib_ipoib 2>/dev/null ;;
    esac
    return 0
}
