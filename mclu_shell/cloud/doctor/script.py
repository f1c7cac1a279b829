"""The shell script that gathers the facts of a node. It changes nothing.

The arguments are the directory of images, the MAC address for Wake-on-LAN, the user and the group of QEMU, and the
programs to look for; an empty one is unknown. Each line of output is a word and its values; a name with several lines
has `?` in place of line ends. `end` is the last line. The directory of images may be on a server that is gone, so it is
examined last, and with a time limit.
"""

import shlex

from mclu_shell.cloud.transport.ssh.power import CAN_POWER_OFF

# The files and settings that arm Wake-on-LAN at each boot: ifupdown, netplan, NetworkManager, wicked, network-scripts,
# and other callers of ethtool.
_ARMED = (
    r"ethernet-wol[[:space:]].*g|wol[[:space:]=]+.?[a-f]*g|wake-?on-?lan[[:space:]]*[:=][[:space:]]*(64|true|.*magic)"
)
_PLACES = " ".join(
    (
        "/etc/network/interfaces /etc/network/interfaces.d/* /etc/netplan/* /etc/systemd/system/*.service",
        "/etc/udev/rules.d/* /etc/sysconfig/network/ifcfg-* /etc/sysconfig/network-scripts/ifcfg-*",
        "/etc/NetworkManager/system-connections/* /etc/NetworkManager/conf.d/* /etc/NetworkManager/dispatcher.d/*",
        "/etc/rc.local /etc/crontab /var/spool/cron/root /var/spool/cron/crontabs/root /etc/local.d/* /etc/conf.d/net",
    )
)

# A boot in progress holds the lock of its claim, and a download that of its image.
_IMAGES = r"""
images=$1 uid=$2 gid=$3
[ -d "$images" ] || { echo 'images missing'; exit; }
directory=$(readlink -f -- "$images")
while :; do
    acl=$(ls -ld -- "$directory" 2>/dev/null | cut -c 11)
    stat -c "parent %a %u %g ${acl:--} %n" -- "$directory" | tr '\n' '?' | sed 's/.$//'; echo
    [ "$directory" != / ] || break
    directory=${directory%/*} directory=${directory:-/}
done
[ ! -w "$images" ] || echo writable
stat -f -c 'space %S %a %c %d' -- "$images"
if [ "$(id -u)" = 0 ] && [ -n "$uid" ] && command -v setpriv >/dev/null; then
    become="setpriv --reuid=$uid --regid=$gid --init-groups"
    $become true && { $become test -x "$images" && echo 'reach yes' || echo 'reach no'; }
fi 2>/dev/null
lines() { tr '\n\0' '?\n' | head -n 2000 | sed "s/^/$1 /"; }
find "$images" -maxdepth 1 -type f -print0 | lines file
find "$images" -maxdepth 1 -type f -name '.mclu-*.building' -mmin +1 -print0 | tr '\n\0' '?\n' | head -n 200 |
    while IFS= read -r file; do
        ( flock -n 9 && [ "$file" -ef /proc/self/fd/9 ] && echo "stale $file" ) 9<"$file"
    done 2>/dev/null
cache=$images/.mclu-cache
[ ! -d "$cache" ] || find "$cache" -maxdepth 1 -type f -name '*.part' -print0 | tr '\n\0' '?\n' | head -n 200 |
    while IFS= read -r file; do
        image=${file##*/} image=${image#*-} image=${image%.part}
        ( flock -n 9 && echo "stale $file" ) 9<"$cache/$image.lock"
    done 2>/dev/null
echo 'images examined'
"""

SCRIPT = rf"""
export LC_ALL=C
PATH=$PATH:/usr/sbin:/sbin
date '+time %s.%N'
images=$1 mac=$2 uid=$3 gid=$4
shift 4
echo "user $(id -u) $(id -un)"
echo "server $SSH_CONNECTION"
sed -n 's/^\(ID\|ID_LIKE\)=/os /p' /etc/os-release 2>/dev/null | head -n 2 | cut -c 1-200
if [ -d /run/systemd/system ]; then
    echo systemd
    systemctl list-unit-files --no-legend --no-pager libvirtd.service libvirtd.socket virtqemud.service \
        virtqemud.socket 2>/dev/null | head -n 8 | while read -r unit state _; do echo "unit $unit $state"; done
fi
if reason=$( ( {CAN_POWER_OFF} ) 2>&1 ); then
    echo can-power-off
else
    echo "no-power-off $(printf %s "$reason" | tail -n 1 | cut -c 1-200)"
fi
[ ! -e /dev/kvm ] || echo kvm-device
echo "cpu $(grep -m 1 -owE 'vmx|svm' /proc/cpuinfo | head -n 1)"
for program; do ! command -v "$program" >/dev/null || echo "program $program"; done
count=0
for path in /sys/class/net/*; do
    name=${{path##*/}} address= wakeup=- kind=virtual
    count=$((count + 1))
    [ "$count" -le 200 ] || break
    # A bond gives all its NICs one address, but they wake for their own.
    {{
        read -r address <"$path/bonding_slave/perm_hwaddr" || read -r address <"$path/address"
        read -r wakeup <"$path/device/power/wakeup"
    }} 2>/dev/null
    [ ! -d "$path/bridge" ] || kind=bridge
    [ ! -e "$path/device" ] || kind=physical
    echo "nic $name ${{address:--}} $kind ${{wakeup:--}}"
    [ -n "$mac" ] && [ "$kind $address" = "physical $mac" ] || continue
    report=$(ethtool "$name" 2>/dev/null)
    # Only root sees the setting.
    case $report in *Wake-on:*) ;; *) report=$(sudo -n ethtool "$name" 2>/dev/null) ;; esac
    printf '%s\n' "$report" | sed -n "s/^[[:space:]]*//; s/^Supports Wake-on: */supports $name /p
        s/^Wake-on: */wol $name /p"
    link=$(udevadm info "$path" 2>/dev/null | sed -n 's/^E: ID_NET_LINK_FILE=//p' | head -n 1)
    base=${{link##*/}}
    [ -z "$link" ] || echo "link $name $link"
    {{
        grep -lsE '^WakeOnLan=.*magic' "$link" "/etc/systemd/network/$base.d"/* "/run/systemd/network/$base.d"/* \
            "/usr/lib/systemd/network/$base.d"/*
        grep -lsiE '{_ARMED}' {_PLACES}
    }} 2>/dev/null | head -n 1 | sed "s/^/armed-by $name /"
    connection=$(nmcli -g GENERAL.CONNECTION device show "$name" 2>/dev/null)
    case $(nmcli -g 802-3-ethernet.wake-on-lan connection show "$connection" 2>/dev/null) in
        *magic*) echo "armed-by $name NetworkManager" ;;
    esac
done
limit='timeout -s KILL 10'
command -v timeout >/dev/null || limit=
$limit sh -c {shlex.quote(_IMAGES)} sh "$images" "$uid" "$gid" 2>/dev/null
echo end
"""
