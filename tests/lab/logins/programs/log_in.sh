# Log in with ssh and with mclu at the same time, each with its own copy of the operator's home directory.
. ./settings
export K S W HOME="$LAB/home" MCLU_CONFIG="$W/mclu.conf" XDG_RUNTIME_DIR="$W/run"
mount --bind hosts /etc/hosts
mount --bind home "$HOME"
cd "$HOME/.ssh"
. "$HERE/functions.sh"
. "$W/start" >"$W/start.log" 2>&1
cd /
(
    cd "$HOME/.ssh"
    timeout 30 ssh -v -o BatchMode=yes $SSH_OPTIONS box $SSH_COMMAND >"$W/ssh.out" 2>"$W/ssh.err" </dev/null
    echo $? >"$W/ssh.status"
) &
ssh=$!
(
    unshare --mount sh -c 'mount --bind "$W/home-mclu" "$HOME"; cd "$HOME/.ssh"; exec timeout 60 mclu "$@"' \
        sh $MCLU_COMMAND box >"$W/mclu.out" 2>"$W/mclu.err" </dev/null
    echo $? >"$W/mclu.status"
) &
wait "$ssh" $!
# mclu leaves no process behind; those that it ends get a moment.
for _ in $(seq 100); do
    pgrep -fa "$W/run/mclu-" >"$W/left" || break
    sleep 0.02
done
cd "$HOME/.ssh"
(. "$W/after") >"$W/after.log" 2>&1
echo $? >"$W/after.status"
