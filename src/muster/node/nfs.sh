# shellcheck shell=dash
# Mounting from the controller's NFS server. The kernel does all of it: busybox hands any type that is not `nfs`
# to mount(2) as it is (options: nfs(5); the kernel's own names are in its fs/nfs/fs_context.c).

NFS_SECONDS=30 # for one try to mount

# nfs_mount PLACE OPTIONS: the folder that the plan names, read-only. On failure $nfs_error says why.
# A mount waits for ever when the server is away (hard), and goes on when it is back.
nfs_mount() {
    nfs_client || return
    plan_value nfs
    nfs_server=${value%% *} nfs_folder=${value#* }
    nfs_port=${nfs_folder%% *} nfs_folder=${nfs_folder#* }
    nfs_source=$nfs_server:$nfs_folder
    case $nfs_server in *:*) nfs_source=[$nfs_server]:$nfs_folder ;; esac
    mkdir -p "$1"
    nfs_version=4.2
    until nfs_try "$1" "$2"; do
        # an older server; nothing else is mended by another version
        [ "$nfs_version: $nfs_error" = '4.2: Protocol not supported' ] || {
            nfs_words
            return 1
        }
        nfs_version=4.1
    done
    say "nfs: $nfs_folder of $nfs_server, port $nfs_port, by NFS $nfs_version"
}

nfs_try() {
    nfs_error=''
    # SIGKILL: nothing less ends a mount that waits for a server
    timeout -s KILL $NFS_SECONDS mount -t nfs4 -o \
        "ro,vers=$nfs_version,proto=tcp,hard,addr=$nfs_server,port=$nfs_port,clientaddr=$net_address,$2" \
        "$nfs_source" "$1" 2>"$run/complaint" && return
    IFS= read -r nfs_error <"$run/complaint"
    nfs_error=${nfs_error##*: }
    return 1
}

nfs_words() {
    nfs_where="$nfs_server port $nfs_port"
    case $nfs_error in
    '') nfs_error="nfs: no answer from $nfs_where in $NFS_SECONDS s" ;;
    'No such file or directory') nfs_error="nfs: $nfs_where has no folder $nfs_folder" ;;
    'Protocol not supported') nfs_error="nfs: $nfs_where speaks neither NFS 4.2 nor 4.1" ;;
    *denied | *permitted) nfs_error="nfs: $nfs_where does not let this node mount $nfs_folder: $nfs_error" ;;
    Connection* | *unreachable | 'No route'*) nfs_error="nfs: cannot connect to $nfs_where: $nfs_error" ;;
    *) nfs_error="nfs: $nfs_source cannot be mounted: $nfs_error" ;;
    esac
}

# nfs_client: the kernel's client, under an identity that is this machine's alone: two that share one take each
# other's open files for their own.
nfs_client() {
    plan_value nfs.id
    modprobe -q nfsv4 2>/dev/null
    printf %s "$value" 2>/dev/null >/sys/module/nfs/parameters/nfs4_unique_id && return
    nfs_error='nfs: this kernel has no NFS client; if its modules are in the image, pack the image again'
    return 1
}

# nfs_image: the file with the image: $root_file, of the length that was promised. Its blobs never change.
nfs_image() {
    nfs_mount "$run/nfs" nosuid,nodev,noexec,nocto,actimeo=3600 || return
    plan_value nfs.file
    root_file=$run/nfs/$value
    nfs_where="nfs: $nfs_folder of $nfs_server"
    nfs_bytes=$(stat -c %s "$root_file" 2>/dev/null) || {
        nfs_error="$nfs_where has no file $value: the image is not there"
        return 1
    }
    plan_number root.size
    [ "$nfs_bytes" = "$value" ] || {
        nfs_error="$nfs_where: the image has $nfs_bytes bytes, the plan promised $value"
        return 1
    }
}
