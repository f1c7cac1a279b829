# Functions for the commands of set-ups: first those for files, then those that start processes.

# Wait for a condition of test(1), which becomes true when a program is ready.
await() {
    for _ in $(seq 500); do
        if test "$@"; then return; fi
        sleep 0.02
    done
    return 1
}

# Print the kind and the text of a public key.
key() { cut -d' ' -f1,2 "$K/$1.pub"; }

# Put a certificate of the host beside its key: the CA, the principals, the validity.
certify_host() {
    cp -p "$K/host_ed25519" "$K/host_ed25519.pub" "$S"
    ssh-keygen -q -s "$K/$1" -I host -h -n "$2" -V "$3" "$S/host_ed25519.pub"
}

# Put a certificate of the user beside its key: the principals, the validity.
certify_user() {
    cp "$K/ca.pub" "$S/ca.pub"
    ssh-keygen -q -s "$K/ca" -I user -n "$1" -V "$2" id_ed25519.pub
}

# Use another key as the only one that sshd accepts: its name, and the name of its file in ~/.ssh.
use() {
    rm id_ed25519 id_ed25519.pub
    authorize "$1"
    cp -p "$K/$1" "$2"
}

# Let sshd accept these keys, and no others.
authorize() {
    : >"$S/authorized_keys"
    for name; do cat "$K/$name.pub" >>"$S/authorized_keys"; done
}

# Put a copy of a key and its public half into ~/.ssh: its name, and the name of its file.
add_key() {
    cp -p "$K/$1" "$2"
    cp "$K/$1.pub" "$2.pub"
}

# Encrypt a key file.
encrypt() { ssh-keygen -q -p -P '' -N secret "$@"; }

# Rewrite a key file: its name, and options of ssh-keygen.
convert() {
    file=$1
    shift
    ssh-keygen -q -p -P '' -N '' "$@" -f "$file"
}

# Make an ordinary user on the node with this login shell and lines in its .bashrc. Its name is u and $NUMBER.
user() {
    mkdir "$S/home"
    echo "u$NUMBER:x:$((2000 + NUMBER)):64055::/run/$NUMBER/home:$1" >>"$LAB/nodes/shared/passwd"
    printf '%s\n' "${2-}" >"$S/home/.bashrc"
    chown -R "$((2000 + NUMBER)):64055" "$S/home"
}

# Start an agent with these keys; options of ssh-add come first.
agent() {
    eval "$(SSH_ASKPASS=/bin/false SSH_ASKPASS_REQUIRE=force ssh-agent -a "$W/agent")"
    add "$@"
}

add() {
    options=
    while [ "${1#-}" != "$1" ]; do options="$options $1"; shift; done
    for name; do ssh-add -q $options "$K/$name"; done
}

# Put a program before the agent, which treats its signatures as the options tell.
weaken() {
    "$PYTHON" "$HERE/weak_agent.py" "$SSH_AUTH_SOCK" "$W/weak" "$@" &
    await -S "$W/weak"
    export SSH_AUTH_SOCK="$W/weak"
}

# Configure an sshd on the operator's machine, for port 2 and $NUMBER of its loopback.
configure_local_sshd() {
    mkdir -p "$W/root-run/sshd"
    mount --bind "$W/root-run" /run
    {
        sed "s/^ListenAddress.*/ListenAddress 127.0.0.1/; s,/run/,$LAB/nodes/ham1/run/,; s/pid$/local-pid/" \
            "$W/sshd_config"
        echo StrictModes no
    } >"$S/local"
}

local_sshd() {
    configure_local_sshd
    /usr/sbin/sshd -p "2$NUMBER" -f "$S/local" -E "$W/local.log"
    await -s "$S/local-pid"
}

# Start one that greets its clients after some seconds.
late_sshd() {
    configure_local_sshd
    "$PYTHON" "$HERE/serve.py" "2$NUMBER" sh -c "sleep $1; exec /usr/sbin/sshd -i -f $S/local" &
    await_listener "2$NUMBER"
}

# Lock the agent, as `ssh-add -x` does with a password.
lock() { SSH_ASKPASS="$HERE/password.sh" SSH_ASKPASS_REQUIRE=force ssh-add -q -x; }

# Make a key whose private half is in a token: the name of the file.
security_key() { "$PYTHON" "$HERE/security_key.py" "$1"; }

# Listen on a port of the operator's machine.
listen_on() {
    "$PYTHON" "$HERE/serve.py" "$1" true &
    await_listener "$1"
}

await_listener() {
    for _ in $(seq 500); do
        if ss -ltnH "sport = $1" | grep -q .; then return; fi
        sleep 0.02
    done
}
