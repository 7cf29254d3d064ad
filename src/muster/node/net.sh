# shellcheck shell=dash
# The boot interface: found by its MAC, brought up by DHCP or from the ip= argument.
# Leaves $net_device $net_address $net_prefix $net_router $net_mtu.

NET_LINK_SECONDS=15

# net_up: one try, with its own words when it fails.
net_up() {
    net_find || return
    ifconfig "$net_device" up || {
        say "$net_device: cannot be brought up"
        return 1
    }
    net_wait_link || return
    if [ -n "$static" ]; then net_static "$static"; else net_dhcp; fi || return
    net_apply && say "network: $net_device ($net_mac) $net_address/$net_prefix${net_router:+ router $net_router}"
}

# net_find: $net_device and $net_mac of the interface that the loader used; without BOOTIF, of the
# device that ip= names or of the first with a link.
net_find() {
    net_device='' net_mac=''
    for net_folder in /sys/class/net/*; do
        [ -e "$net_folder/device" ] || continue
        read -r net_mac <"$net_folder/address"
        [ "$net_mac" != "$bootif" ] || {
            net_device=${net_folder##*/}
            return 0
        }
    done
    net_mac=''
    if [ -n "$bootif" ]; then
        say "network: no interface has the MAC $bootif; here are:$(net_list)"
        return 1
    fi
    net_any || {
        say "network: no interface has a link; here are:$(net_list)"
        return 1
    }
}

net_list() {
    for net_folder in /sys/class/net/*; do
        [ -e "$net_folder/device" ] || continue
        read -r net_line <"$net_folder/address"
        printf ' %s (%s)' "${net_folder##*/}" "$net_line"
    done
}

net_any() {
    for net_folder in /sys/class/net/*; do
        [ -e "$net_folder/device" ] || continue
        net_device=${net_folder##*/}
        case $static in *:*:*:*:*:"$net_device"*) ;; *:*:*:*:*:?*) continue ;; esac
        ifconfig "$net_device" up 2>/dev/null && net_wait_link 2>/dev/null || continue
        read -r net_mac <"$net_folder/address"
        bootif=$net_mac
        return 0
    done
    return 1
}

# net_wait_link: a DHCP question sent before the switch port is ready costs seconds.
net_wait_link() {
    read_uptime
    net_until=$((centiseconds + NET_LINK_SECONDS * 100))
    while [ "$centiseconds" -lt "$net_until" ]; do
        net_carrier=0
        read -r net_carrier 2>/dev/null <"/sys/class/net/$net_device/carrier"
        [ "$net_carrier" != 1 ] || return 0
        nap 0.1
        read_uptime
    done
    say "$net_device: no link after $NET_LINK_SECONDS s: is the cable in, is the switch port up?"
    return 1
}

net_dhcp() {
    rm -f "$run/lease"
    udhcpc -i "$net_device" -s "$lib/lease" -O mtu -n -q -f -t 10 -T 1 >/dev/null 2>&1
    [ -s "$run/lease" ] || {
        say "$net_device: no DHCP server answered"
        return 1
    }
    {
        IFS= read -r net_address
        IFS= read -r net_prefix
        IFS= read -r net_router
        IFS= read -r net_mtu
        IFS= read -r net_servers
    } <"$run/lease"
    net_router=${net_router%% *}
    for net_line in $net_servers; do echo "nameserver $net_line"; done >/etc/resolv.conf
}

# net_static client:server:gw:mask:host:dev: as the kernel's Documentation/admin-guide/nfs/nfsroot.rst has it.
net_static() {
    net_saved=$IFS
    IFS=:
    set -f
    # shellcheck disable=SC2086
    set -- $1
    set +f
    IFS=$net_saved
    net_address=$1 net_router=${3:-} net_mtu=''
    net_prefix_of "${4:-255.255.255.0}"
    case $net_address in
    *.*.*.*) ;;
    *)
        say "ip=$static: the first field is no address"
        return 1
        ;;
    esac
}

# net_prefix_of 255.255.255.0: $net_prefix becomes 24. A prefix length stays what it is.
net_prefix_of() {
    net_prefix=$1
    case $1 in *.*) ;; *) return 0 ;; esac
    net_saved=$IFS
    IFS=.
    net_prefix=0
    for net_byte in $1; do
        while [ "$net_byte" -gt 0 ]; do
            net_prefix=$((net_prefix + net_byte % 2))
            net_byte=$((net_byte / 2))
        done
    done
    IFS=$net_saved
}

# net_apply: address and route on $net_device.
net_apply() {
    [ -z "$net_mtu" ] || ip link set "$net_device" mtu "$net_mtu" || say "$net_device: refuses MTU $net_mtu"
    ip link set "$net_device" up && ip addr add "$net_address/$net_prefix" broadcast + dev "$net_device" || {
        say "$net_device: refuses the address $net_address/$net_prefix"
        return 1
    }
    [ -z "$net_router" ] || ip route add default via "$net_router" dev "$net_device" ||
        say "$net_device: refuses the router $net_router"
}

# net_clear: forget the address, so that the next try starts clean.
net_clear() {
    ip addr flush dev "$net_device"
}

# net_rename "NAME MAC"...: give the interfaces their names. Kernels before 6.2 rename only what is
# down: there the boot interface loses its link for a moment, and gets its address and route back.
net_rename() {
    while [ $# -gt 0 ]; do
        net_rename_one "${1%% *}" "${1#* }" || say "the interface with MAC ${1#* } keeps its name, not ${1%% *}"
        shift
    done
}

net_rename_one() {
    net_current=''
    for net_folder in /sys/class/net/*; do
        [ -e "$net_folder/device" ] || continue
        read -r net_line <"$net_folder/address"
        [ "$net_line" != "$2" ] || net_current=${net_folder##*/}
    done
    [ -n "$net_current" ] || {
        say "this machine has no interface with MAC $2 (for $1)"
        return 0
    }
    [ "$net_current" != "$1" ] || return 0
    [ ! -e "/sys/class/net/$1" ] || net_move "$1" "old$1" || return
    net_move "$net_current" "$1" && say "interface $net_current is now $1"
}

net_move() {
    if ip link set "$1" name "$2" 2>/dev/null; then
        [ "$1" != "$net_device" ] || net_device=$2
        return 0
    fi
    ip link set "$1" down && ip link set "$1" name "$2" || return
    [ "$1" = "$net_device" ] || return 0
    net_device=$2
    ip addr flush dev "$2"
    net_apply && net_wait_link
}
