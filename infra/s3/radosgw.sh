#!/usr/bin/env bash
# A persistent S3 server: Debian's Ceph gateway over one disk file, reachable on this machine's loopback only.
#   apt-get install --no-install-recommends radosgw ceph-mon ceph-osd ceph-mgr
#   infra/s3/radosgw.sh up DIR       create it in DIR, or start the one in DIR; DIR survives a reboot
#   infra/s3/radosgw.sh down DIR     stop it and keep DIR
# Its one user has the key AWS_ACCESS_KEY_ID with AWS_SECRET_ACCESS_KEY; both must be set when it is created. Optional:
# RGW_PORT (7480), MON_PORT (6789) and DISK_GB (20, used as it fills).
# It keeps one copy of each object: for one machine, and for trials. It needs no systemd and runs as root.
set -euo pipefail

say() { printf 'radosgw: %s\n' "$*" >&2; }
stop_with() {
    say "$*"
    exit 1
}

command=${1:-} dir=${2:-}
[[ $command =~ ^(up|down)$ && -n $dir ]] || stop_with "usage: $0 up|down DIR"
dir=$(realpath --canonicalize-missing "$dir")
rgw_port=${RGW_PORT:-7480} mon_port=${MON_PORT:-6789}
export CEPH_CONF="$dir/ceph.conf"

running() { [[ -s $dir/run/$1.pid ]] && kill -0 "$(<"$dir/run/$1.pid")" 2>/dev/null; }

down() {
    local name tries
    for name in client.rgw mgr.one osd.0 mon.one; do # the reverse order of their start
        running "$name" || continue
        kill "$(<"$dir/run/$name.pid")"
        for ((tries = 0; tries < 150; tries++)); do
            running "$name" || break
            sleep 0.2
        done
        running "$name" && stop_with "$name did not stop within 30 s; its log is in $dir/log"
    done
    return 0
}

configure() {
    cat > "$CEPH_CONF" << END
[global]
fsid = $1
mon_initial_members = one
mon_host = v1:127.0.0.1:$mon_port
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
keyring = $dir/keyring
run_dir = $dir/run
admin_socket = $dir/run/\$name.asok
pid_file = $dir/run/\$name.pid
log_file = $dir/log/\$name.log
mon_data = $dir/mon
mgr_data = $dir/mgr
osd_data = $dir/osd
mon_allow_pool_size_one = true
mon_data_avail_crit = 1
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 4
osd_pool_default_pgp_num = 4
osd_crush_chooseleaf_type = 0
osd_objectstore = bluestore
bluestore_block_size = $((${DISK_GB:-20} << 30))
[client.rgw]
rgw_data = $dir/rgw
rgw_frontends = beast endpoint=127.0.0.1:$rgw_port
rgw_relaxed_region_enforcement = true
END
}

make() {
    [[ -n ${AWS_ACCESS_KEY_ID:-} && -n ${AWS_SECRET_ACCESS_KEY:-} ]] ||
        stop_with "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY for its user"
    mkdir -p "$dir"/{mon,osd,mgr,rgw,run,log}
    chmod 700 "$dir"
    local fsid osd_id
    fsid=$(< /proc/sys/kernel/random/uuid) osd_id=$(< /proc/sys/kernel/random/uuid)
    configure "$fsid"
    ceph-authtool "$dir/keyring" --create-keyring --gen-key --name mon. --cap mon 'allow *' > /dev/null
    add_key client.admin mon 'allow *' osd 'allow *' mgr 'allow *'
    add_key mgr.one mon 'allow profile mgr' osd 'allow *'
    add_key osd.0 mon 'allow profile osd' mgr 'allow profile osd' osd 'allow *'
    add_key client.rgw mon 'allow rwx' osd 'allow rwx' mgr 'allow rw'
    monmaptool --create --fsid "$fsid" --addv one "[v1:127.0.0.1:$mon_port]" "$dir/monmap" > /dev/null
    ceph-mon --id one --mkfs --monmap "$dir/monmap" --keyring "$dir/keyring"
    ceph-mon --id one
    ceph osd create "$osd_id" 0 > /dev/null
    ceph osd crush add osd.0 1.0 root=default host=one 2> /dev/null
    ceph-osd --id 0 --mkfs --osd-uuid "$osd_id" 2> /dev/null
}

add_key() { # NAME (DAEMON RIGHTS)...: create a key with its rights at each kind of daemon
    local name=$1 caps=()
    shift
    while (($#)); do
        caps+=(--cap "$1" "$2")
        shift 2
    done
    ceph-authtool "$dir/keyring" --gen-key --name "$name" "${caps[@]}" > /dev/null
}

answers() { (exec 3<> "/dev/tcp/127.0.0.1/$rgw_port") 2> /dev/null; }

up() {
    local fresh=false tries
    if [[ ! -e $dir/ready ]]; then
        [[ -z $(ls -A "$dir" 2> /dev/null) ]] || stop_with "$dir is not empty, and holds no complete server; choose another"
        fresh=true
        make
    fi
    running mon.one || ceph-mon --id one
    running osd.0 || ceph-osd --id 0
    running mgr.one || ceph-mgr --id one
    running client.rgw || radosgw --name client.rgw
    for ((tries = 0; tries < 300; tries++)); do
        answers && break
        sleep 0.2
    done
    answers || stop_with "nothing answers on port $rgw_port after 60 s; logs are in $dir/log"
    if $fresh; then
        radosgw-admin user create --uid=nightly --display-name=nightly \
            --access-key="$AWS_ACCESS_KEY_ID" --secret="$AWS_SECRET_ACCESS_KEY" > /dev/null
        touch "$dir/ready"
    fi
    say "http://127.0.0.1:$rgw_port, objects in $dir"
}

"$command"
