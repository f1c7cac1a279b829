"""Shell scripts that run on a node: the build of a guest, and a check whether it could begin."""

from mclu_shell.cloud.nodes.memory import RESERVATIONS

# Defines is_held: true if a process holds the lock of a file, which it has open as descriptor 8. Trying the lock could
# make another boot fail. /proc/locks lists no lock in a container after its flock(1) has ended.
_IS_HELD = r"""
is_held() {
    for fd in /proc/[0-9]*/fd/8; do [ ! "$fd" -ef "$1" ] || return 0; done
    return 1
}
"""
# * The script's variables must not have the names of the build's environment variables, such as `size`.
# * The script's own lines begin with a random marker, so that a build cannot forge them. Each begins on a new line,
#   because the build may not have ended its last one.
# * flock needs a file. `-ef` checks that the locked file still has its name: its previous owner removes it at its end.
# * Other users may be able to write to the directory of images. With noclobber (-C), sh creates a file with O_EXCL: it
#   follows no link and opens no file of theirs. Later, only the open file is written to.
# * Background jobs of sh get no input unless it is passed to them explicitly.
# * A plain `exec` that cannot open its file would end sh at once, without a message.
# * Everything is written to one stream: two streams would be mixed within a line.
_HEAD = (
    r"""
exec 2>&1
set -u
umask 077
marker=$1 output=$2 interpreter=$3
shift 3
images=${output%/*} file=${output##*/}
claim=$images/.mclu-${file%.*}.building
# When the connection is lost, sshd sends SIGHUP and writes fail with SIGPIPE: neither may end the cleanup.
trap : HUP PIPE
report() { printf '\n%s %s\n' "$marker" "$*"; }
refuse() { report fault "$*"; exit 1; }
refuse_directory() { refuse "cannot write to $images; create it there, or set images= in mclu.conf"; }
refuse_rival() { refuse "another boot of this name is in progress"; }
require_programs() {
    for program in flock setsid; do
        command -v $program >/dev/null || refuse "the node has no $program; install util-linux there"
    done
    [ -z "$interpreter" ] || command -v "$interpreter" >/dev/null ||
        refuse "the node has no $interpreter, which the template needs"
}
# The arguments are files that will be removed before the build.
require_no_files() {
    for file in "$output" "$output".*; do
        [ -e "$file" ] || [ -L "$file" ] || continue
        for removed; do [ "$removed" != "$file" ] || continue 2; done
        remedy="if no guest needs it (an interrupted boot may have left it), remove it there"
        refuse "$file already exists; $remedy"
    done
}
"""
    + _IS_HELD
    + RESERVATIONS
)

# Builds a guest's disk.
BUILD = (
    _HEAD
    + r"""
length=$1 uuid=$2 uri=$3 log=$4 expected=$5 needed_bytes=$6
build= work=
leave() { [ -z "$work" ] || rm -rf -- "$work"; }
trap leave EXIT
# All of the template is read first, even if it cannot be stored: sshd may lose the last output of a process that ends
# before its input is read. tee reads on after a failed write.
work=$(mktemp -d) || work=
head -c "$length" | tee "${work:-/dev/null}/template" >/dev/null 2>&1
[ -n "$work" ] || refuse "cannot create a temporary directory"
# An incomplete template must not run: its sender may be gone, or the disk full.
[ "$(stat -c %s "$work/template")" = "$length" ] || refuse "the template did not arrive completely in $work"
require_programs
# Remove a claim that no process has locked: the node lost power during its boot.
drop() { ( flock -n 9 && [ ! -L "$1" ] && [ "$1" -ef /proc/self/fd/9 ] && rm -f -- "$1" ) 9<"$1"; }
exists() { [ -e "$claim" ] || [ -L "$claim" ]; }
if exists; then
    [ -f "$claim" ] && [ ! -L "$claim" ] || refuse "$claim is not a file of mclu; remove it there"
    drop "$claim" || refuse_rival
fi
set -C
if ! command exec 8>"$claim"; then exists && refuse_rival || refuse_directory; fi
set +C
[ -f /proc/self/fd/8 ] && flock -n 8 && [ ! -L "$claim" ] && [ "$claim" -ef /proc/self/fd/8 ] || refuse_rival
trap 'leave; rm -f -- "$claim"' EXIT
# Remove the claims of other boots. Their disks stay, as they may be the user's by now.
sweep() {
    find "$images" -maxdepth 1 -type f -mmin +1 -name '.mclu-*.building' |
        while read -r file; do drop "$file"; done
}
sweep 2>/dev/null
require_no_files
# Of two boots at the same moment, one is first: it does not count the other's reservation, and the other counts it.
# Where a directory cannot be locked, as with NFS, both may count each other.
reserve() {
    ! command exec 7<"$images" || flock -w 5 7
    echo "$$ $needed_bytes $uuid" >&8
    reservations reserved
    command exec 7<&-
} 2>/dev/null
reserve
report claimed
read -r answer || answer=
[ "$answer" = build ] || exit 1
# End the background processes of the build: they must not continue to write to kept or removed files. Processes that
# have left the build's process group still have its UUID in their environment.
end_build() {
    [ -n "$build" ] || return 0
    kill -KILL -$build 2>/dev/null
    for pass in 1 2 3; do
        # Its status also depends on files of other users, which cannot be read.
        marked=$(grep -lsF "mclu_build=$uuid" /proc/[0-9]*/environ)
        [ -n "$marked" ] || return 0
        for marked in $marked; do marked=${marked#/proc/}; kill -KILL "${marked%/environ}"; done
    done 2>/dev/null
}
# None of these files existed before the build.
discard() {
    end_build
    rm -rf -- "$output" "$output".* 2>/dev/null
}
# Undefine the guest for a client that was killed, or has lost its connection, while libvirt defined it. libvirt may
# define it only later. Fail if the result is unknown: the disk of a defined guest is not deleted.
withdraw() {
    [ -n "$uri" ] || return 0
    command -v virsh >/dev/null || return 1
    passes=0
    until timeout 10 virsh -q -c "$uri" undefine --nvram "$uuid"; do
        passes=$((passes + 1))
        [ $passes -lt 60 ] || break
        sleep 1
    done
    timeout 10 virsh -q -c "$uri" list || return 1
    ! timeout 10 virsh -q -c "$uri" domuuid "$uuid"
} >/dev/null 2>&1
# A signal ends `wait` early.
await() { while :; do wait "$1"; status=$?; kill -0 "$1" 2>/dev/null || return 0; done; }
chmod 700 "$work/template"
report started
exec 3<&0
mkdir "$work/directory" && cd "$work" || refuse "cannot create a directory in $work"
# The build writes to a pipe that has a reader until its end, even if the connection is lost: SIGPIPE would end the
# build's own clean-up at its first message. The reader holds a lock until it has passed everything on.
mkfifo .output && exec 9>.relayed && flock 9 || refuse "cannot create a pipe in $work"
setsid sh -c 'trap "" HUP PIPE; cat; exec cat >/dev/null' <.output 2>/dev/null 3<&- 8>&- &
relay=$!
exec 9>&- 4>.output
cd "$work/directory"
mclu_build=$uuid setsid "$work/template" build </dev/null >&4 2>&4 3<&- 4>&- 8>&- &
build=$!
cd "$work"
exec 4>&-
# A process that has escaped may keep the pipe open.
end_output() {
    flock -w 5 .relayed true
    kill -KILL -$relay
} 2>/dev/null
# Print the processes of the build's process group except the build itself.
children() {
    for stat in /proc/[0-9]*/stat; do
        read -r line <$stat && set -- ${line##*) } && [ "$3" = $build ] || continue
        stat=${stat#/proc/}
        [ "${stat%/stat}" = $build ] || echo "${stat%/stat}"
    done 2>/dev/null
}
( exec 8>&-
  read -r answer <&3
  if [ "$answer" = defining ]; then : >"$work/defining"; read -r answer <&3; fi
  echo "$answer" >"$work/answer"
  [ "$answer" != keep ] || exit 0
  # dash runs no EXIT trap after SIGTERM, but it does if a command fails with `set -e`. So the commands are ended first.
  if kill -TERM $(children) 2>/dev/null; then
      for pass in 1 2 3 4 5 6 7 8 9 10; do kill -0 $build 2>/dev/null && sleep 0.1; done
  fi
  # A build that has ended already needs no wait.
  kill -TERM -$build 2>/dev/null || exit 0
  sleep 5 &
  trap 'kill $!; exit 0' TERM
  wait $!
  kill -KILL -$build 2>/dev/null ) &
reader=$!
give_up() { kill $reader 2>/dev/null; discard; report "$@"; exit 1; }
await $build
end_build
end_output
[ $status -eq 0 ] || give_up failed $status
# The guest must not need a file of the build's working directory.
rm -rf -- "$work/directory"
for file in "$output" "$output".*; do
    # Only a file, or a link to the disk, can be deleted with the guest.
    if [ -L "$file" ] && [ ! -e "$file" ]; then
        give_up dangling "$file"
    elif [ -f "$file" ] || [ -L "$file" ]; then
        report file "$file"
        report identity "$(LC_ALL=C TZ=UTC0 stat -c '%i %w' -- "$file" 2>/dev/null) $file"
    elif [ -e "$file" ]; then
        give_up unfit "$file"
    fi
done
# A disk of another format than the guest's definition names is unreadable for the guest. A qcow2 file begins with
# "QFI\373" and its version.
if [ "$expected" = qcow2 ] && [ -e "$output" ] && command -v od >/dev/null; then
    header=$(od -A n -v -t x1 -N 8 "$output" | tr -d ' \n')
    case $header in 514649fb0000000[23]) ;; *) give_up format "$header" ;; esac
fi
# The guest could not start without a file that its disk refers to.
if [ -n "$expected" ] && [ -e "$output" ] && command -v qemu-img >/dev/null; then
    chain=$(LC_ALL=C timeout 30 qemu-img info -U --backing-chain --output=json -- "$output" 2>&1) ||
        give_up chain "$(printf '%s\n' "$chain" | tail -n 1)"
    # qemu-img does not open external data files. JSON may escape a name.
    printf '%s\n' "$chain" | sed -n 's/^ *"data-file": "\(\/[^\\]*\)",\{0,1\}$/\1/p' | while read -r file; do
        [ -e "$file" ] || { echo "Could not open '$file': No such file or directory"; break; }
    done >missing
    [ ! -s missing ] || give_up chain "$(cat missing)"
fi
# libvirt creates the directory of its logs, but only after it has needed it for this one.
if [ -n "$log" ]; then mkdir -p "${log%/*}" 2>/dev/null; [ ! -d "${log%/*}" ] || report logged; fi
reservations still
report ready
await $reader
answer=$(cat "$work/answer" 2>/dev/null)
if [ "$answer" != keep ]; then
    [ ! -e "$work/defining" ] || [ "$answer" = undefined ] || withdraw || exit 1
    discard
    exit 1
fi
report kept
# The reservation ends with the input: when the guest runs, and libvirt counts it.
read -r answer <&3
exit 0
"""
)

# Checks whether a build could begin; the arguments after the interpreter are files that will be removed before it.
CHECK = (
    _HEAD
    + r"""
[ -w "${TMPDIR:-/tmp}" ] || refuse "cannot create a temporary directory"
require_programs
[ -w "$images" ] || refuse_directory
! is_held "$claim" || refuse_rival
require_no_files "$@"
report ready
"""
)
