# shellcheck shell=dash
# Who this machine is and what it has: the body of hello. No process is started for it.

# facts_write FILE
facts_write() {
    (
        umask 077
        facts_print >"$1"
    )
}

facts_print() {
    fact muster-hello 1
    fact_file release /etc/muster-release
    fact_file kernel-boot /proc/sys/kernel/random/boot_id
    fact_file kernel /proc/sys/kernel/osrelease
    fact_file cmdline /proc/cmdline
    facts_architecture
    if [ -d /sys/firmware/efi ]; then fact firmware uefi; else fact firmware bios; fi
    fact bootif "$bootif"
    fact address "$net_address/$net_prefix"
    for pair in uuid:product_uuid system-serial:product_serial board-serial:board_serial \
        vendor:sys_vendor product:product_name board:board_name; do
        fact_file "${pair%:*}" "/sys/class/dmi/id/${pair#*:}"
    done
    facts_memory
    facts_processor
    facts_interfaces
    facts_disks
    printf '%s' "$stage_times"
}

fact() {
    [ -z "$2" ] || printf '%s\t%s\n' "$1" "$2"
}

fact_file() {
    value=''
    [ -r "$2" ] && IFS= read -r value 2>/dev/null <"$2"
    fact "$1" "$value"
}

facts_architecture() {
    if [ -r /proc/sys/kernel/arch ]; then
        fact_file architecture /proc/sys/kernel/arch
    else
        fact architecture "$(uname -m)"
    fi
}

facts_memory() {
    read -r _ value _ </proc/meminfo
    fact memory "$value"
}

# The kernel writes online processors as ranges: 0-3,8-11.
facts_processor() {
    count=0
    IFS= read -r ranges </sys/devices/system/cpu/online
    saved=$IFS
    IFS=,
    for range in $ranges; do count=$((count + ${range#*-} - ${range%-*} + 1)); done
    IFS=$saved
    fact cpus "$count"
    while IFS= read -r value; do
        case $value in 'model name'*)
            fact cpu "${value#*: }"
            break
            ;;
        esac
    done </proc/cpuinfo
}

facts_interfaces() {
    for folder in /sys/class/net/*; do
        [ -e "$folder/device" ] || continue
        driver=unknown state=down carrier=0
        # cd -P resolves the link to the driver's folder without a process
        cd -P "$folder/device/driver" 2>/dev/null && driver=${PWD##*/}
        cd /
        read -r mac <"$folder/address"
        read -r carrier 2>/dev/null <"$folder/carrier"
        [ "$carrier" != 1 ] || state=up
        fact interface "${folder##*/} $mac $driver $state"
    done
}

facts_disks() {
    count=0
    for folder in /sys/block/*; do
        [ -e "$folder/device" ] || continue
        case ${folder##*/} in sr* | fd*) continue ;; esac
        [ "$((count += 1))" -le 256 ] || break
        read -r sectors <"$folder/size"
        model=''
        [ ! -r "$folder/device/model" ] || read -r model <"$folder/device/model"
        fact disk "${folder##*/} $((sectors * 512))${model:+ $model}"
    done
}
