# Run one set-up in a lab: make its files, start its sshd on ham1, and log in with ssh and with mclu at the same time.
# The first argument is the directory of the set-up; its file `settings` has the variables in capitals.
set -eu
cd "$1"
. ./settings
export K S W
on_node() { nsenter --target="$NODE_PID" --net --mount --uts --ipc --pid -- "$@"; }

. "$HERE/functions.sh"

make_files() {
    mkdir -p "$S" home/.ssh run
    chmod 700 home home/.ssh run
    cp -p "$K/id_ed25519" "$K/id_ed25519.pub" home/.ssh
    cp "$K/id_ed25519.pub" "$S/authorized_keys"
    cp config home/.ssh/config
    {
        read -r kind key _ <"$K/host_ed25519.pub"
        echo "box $kind $key"
        grep '^ham0,' "$LAB/home/.ssh/known_hosts"
    } >home/.ssh/known_hosts
    { cat /etc/hosts; echo "$ADDRESS box"; } >hosts
    (set -e; cd home/.ssh; . "$W/files")
    cp -a home home-mclu
}

start_sshd() {
    cp sshd_config "$S/sshd_config"
    on_node sh -c "ip address add $ADDRESS/16 dev eth0; exec /usr/sbin/sshd -f /run/$NUMBER/sshd_config -E /run/$NUMBER/log"
    # sshd writes the file when it listens.
    await -s "$S/pid" || { cat "$S/log"; exit 1; }
}

stop_sshd() {
    on_node sh -c "kill \$(cat /run/$NUMBER/pid); ip address del $ADDRESS/16 dev eth0"
}

make_files
start_sshd
# All other processes end with this namespace.
unshare --mount --pid --fork --kill-child --mount-proc sh "$HERE/log_in.sh" || true
stop_sshd
cp "$S/log" log
