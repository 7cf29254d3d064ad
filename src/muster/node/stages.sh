# shellcheck shell=dash
# The stages of one boot (the list is model/stages.py), each one try: it succeeds, or says why in
# $stage_error.

stage_modules() {
    modules_load 'loop squashfs overlay dm-verity'
}

# The network is tried for ever: without it there is nobody to ask.
stage_network() {
    until net_up; do
        net_clear 2>/dev/null
        say 'network: trying again'
        modules_load
        pause 2 10
    done
}

# Hello is said for ever, too. Its answer is a plan.
stage_hello() {
    facts_write "$run/hello"
    until hello; do
        say "hello: $hello_error; trying again"
        pause 2 10
    done
}

hello() {
    [ -n "$server" ] || {
        hello_error='the kernel argument muster.server= is missing'
        return 1
    }
    hello_body=$(cat "$run/hello")$NEWLINE
    http_token=''
    http_call POST "$server/node/1/hello" 15 "$hello_body" || {
        hello_error=$http_error
        return 1
    }
    plan_take || {
        hello_error=$plan_error
        return 1
    }
    plan_addresses
    plan_fresh=1
}

plan_addresses() {
    plan_value url.report && url_report=$value
    plan_value url.plan && url_plan=$value
}

# plan_ask SECONDS: the plan again, at once or when it changes; a token that is no longer good means hello.
plan_ask() {
    plan_value digest
    case $url_plan in *\?*) plan_query="&after=$value&wait=$1" ;; *) plan_query="?after=$value&wait=$1" ;; esac
    [ "$1" != 0 ] || plan_query=''
    if http_call GET "$url_plan$plan_query" $(($1 + 20)) ''; then
        plan_take || {
            stage_error=$plan_error
            return 1
        }
        plan_addresses
        return 0
    fi
    stage_error="plan: $http_error"
    [ "$http_status" = 403 ] || return 1
    hello || {
        stage_error="hello: $hello_error"
        return 1
    }
}

# What the controller wants: to run an image, to wait, or to start anew.
stage_plan() {
    [ -n "$plan_fresh" ] || plan_ask 0 || return
    plan_fresh=''
    clock_set
    plan_value action
    while [ "$value" = wait ]; do
        wait_for_plan || return
        plan_value action
    done
    case $value in
    run) plan_usable ;;
    reboot) start_anew ;;
    *)
        stage_error="plan: this node's software does not know the action '$value'"
        return 1
        ;;
    esac
}

plan_usable() {
    plan_value mode
    mode=$value
    case $mode in *[!a-z]* | '') mode=unknown ;; esac
    [ -e "$lib/root-$mode.sh" ] || {
        stage_error="plan: this node's software does not know the root mode '$value'"
        return 1
    }
    # shellcheck source=src/muster/node/root-ram.sh
    . "$lib/root-$mode.sh"
    for plan_key in root overlay; do
        # the tree of a live image is in no blob
        [ "$plan_key" != root ] || ! plan_live || continue
        plan_number $plan_key.size && plan_digest $plan_key.sha256 || {
            stage_error="plan: size or sha256 of $plan_key is missing or malformed"
            return 1
        }
    done
    plan_device || {
        stage_error='plan: the verity line is missing or malformed'
        return 1
    }
    names=''
    plan_each interface plan_name
    saved=$IFS
    IFS=$NEWLINE
    # shellcheck disable=SC2086
    set -- $names
    IFS=$saved
    net_rename "$@"
    plan_value node && say "this is node $value" || :
}

# plan_live: is the image's tree itself the root, and no file that was packed from it?
plan_live() {
    plan_value image
    case $mode:$value in nfs:*@live) ;; *) return 1 ;; esac
}

# plan_device: the line that is made into a table of the device-mapper is made of numbers and hashes.
plan_device() {
    ! plan_live || return 0
    plan_value verity || return
    set -f
    # shellcheck disable=SC2086
    set -- $value
    set +f
    [ $# = 4 ] || return
    case $1$2 in *[!0-9]*) return 1 ;; esac
    case $3$4 in *[!0-9a-f]*) return 1 ;; esac
}

plan_name() {
    names=$names$1$NEWLINE
}

# wait_for_plan: tell the reason and who this is, once for each plan; then the long poll.
wait_for_plan() {
    plan_value digest
    if [ "$value" != "${waited:-}" ]; then
        waited=$value
        plan_value reason
        wait_reason=$value
        say "waiting: $wait_reason"
        say "this machine: MAC $net_mac, address $net_address, $(machine_words)"
        report wait start '' "$wait_reason"
        console_offer
        modules_load
    else
        report wait progress '' "$wait_reason" # a sign of life: asking for the plan is none
    fi
    read_uptime
    wait_since=$centiseconds
    plan_ask 50 || return
    plan_fresh=''
    # an answer that came at once must not make this loop a busy one
    read_uptime
    [ $((centiseconds - wait_since)) -ge 300 ] || nap 2
    console_hold
}

machine_words() {
    for word in sys_vendor product_name product_serial; do
        [ -r /sys/class/dmi/id/$word ] || continue
        IFS= read -r words 2>/dev/null </sys/class/dmi/id/$word && printf '%s ' "$words"
    done
}

start_anew() {
    plan_value reason
    say "starting anew: $value"
    report plan 'done' '' "reboot: $value"
    report_finish
    pause 1 3
    reboot -f
}

# clock_set: certificates, logs and file times want the controller's clock, to ten seconds.
clock_set() {
    plan_number now || return 0
    clock_off=$((value - EPOCHSECONDS))
    [ "${clock_off#-}" -le 10 ] || date -s "@$value" >/dev/null
}

# What the mode needs, then what it fetches of the image.
stage_download() {
    report download start
    kits_fetch || {
        stage_error="download: $kit_error"
        return 1
    }
    root_fetch || {
        stage_error="download: $root_error"
        return 1
    }
}

stage_verify() {
    root_check || {
        stage_error="verify: $root_error"
        return 1
    }
}

stage_root() {
    root_prepare && root_switch || {
        stage_error="root: $root_error"
        return 1
    }
    place_prepare
    root_acls
}

# The overlay is fetched for ever, except when the plan it belongs to is out of date.
stage_overlay() {
    until overlay_fetch "$run/overlay.tar.gz"; do
        [ "$http_status" != 409 ] || {
            stage_error='overlay: it changed since the plan was made'
            return 1
        }
        say "$overlay_error; trying again"
        report overlay failed '' "$overlay_error"
        pause 2 10
        [ "$http_status" != 403 ] || {
            stage_error=$overlay_error
            return 1
        }
    done
    early_lay
    overlay_lay "$run/overlay.tar.gz" || {
        stage_error=$overlay_error
        return 1
    }
    rm -f "$run/overlay.tar.gz"
    ! plan_live || live_prepare
}

# What stays for the agent; then everything else of ours is given back to the machine.
stage_handover() {
    plan_value init || value=/sbin/init
    new_init=$value
    new_real=$(chroot "$newroot" "$run/bin/busybox" readlink -f "$new_init") &&
        chroot "$newroot" "$run/bin/busybox" test -x "$new_real" || {
        stage_error="handover: the image has no program $new_init"
        return 1
    }
    (umask 077 && printf '%s\n' "$plan_text" >"$run/plan")
    printf '%s\n' "$mode" >"$run/mode"
    printf '%s\n' "$server" >"$run/server"
}

# leave: the last acts here. Once /dev and /proc have moved, nothing may be redirected or measured, and
# programs are called through busybox's own path.
leave() {
    report_finish
    console_hold
    console_close
    for place in /dev /sys /proc; do
        /bin/busybox mount -o move $place "$newroot$place" || say "handover: $place cannot be moved into the new root"
        say_kernel=''
    done
}
