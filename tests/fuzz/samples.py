"""Data of real nodes and guests, from which the cases are made."""

import json

DOMAIN = """<domain type='kvm' id='1' xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>
<name>web</name><uuid>11111111-2222-4333-8444-555555555555</uuid>
<metadata><mclu:guest xmlns:mclu='urn:mclu:1' uuid='11111111-2222-4333-8444-555555555555'>
<mclu:template>tiny</mclu:template><mclu:created>2026-01-01T00:00:00+00:00</mclu:created>
<mclu:file id='12 2026-01-01 00:00:00.000000000 +0000'>/images/web.qcow2</mclu:file>
<mclu:file>/images/web.qcow2.seed</mclu:file><mclu:log>/var/log/libvirt/qemu/web.serial</mclu:log></mclu:guest>
<c:since xmlns:c='urn:mclu:console:1' inode='12' offset='34'/></metadata>
<os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type><loader type='pflash'>/fw/code.fd</loader>
<nvram template='/fw/vars.fd'>/var/lib/libvirt/qemu/nvram/web_VARS.fd</nvram><kernel>/boot/k</kernel></os>
<devices><disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/images/web.qcow2' index='1'/>
<backingStore type='file'><format type='qcow2'/><source file='/images/base.qcow2'/><backingStore type='block'>
<format type='raw'/><source dev='/dev/vg/base'/><backingStore/></backingStore></backingStore><target dev='vda'/></disk>
<disk type='volume'><driver type='raw'/><source pool='default' volume='two.img'/><mirror><format type='raw'/>
<source file='/m'/></mirror></disk><disk type='network'><source protocol='nbd' name='export'/></disk>
<interface type='network'><mac address='52:54:00:00:00:01'/><source network='default'/></interface>
<serial type='pty'><log file='/var/log/libvirt/qemu/web.serial' append='on'/></serial>
<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0' state='connected'/></channel>
<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>
<graphics type='vnc' port='5900' listen='127.0.0.1'><listen type='address' address='127.0.0.1'/></graphics></devices>
<qemu:commandline><qemu:arg value='-drive'/><qemu:arg value='file=/odd.img,if=none'/>
<qemu:arg value='json:{"driver": "file", "filename": "/j.img"}'/></qemu:commandline></domain>"""
SNAPSHOT = f"""<domainsnapshot><name>one</name><memory snapshot='external' file='/images/web.mem'/>
<disks><disk name='vda' snapshot='external' type='file'><driver type='qcow2'/><source file='/images/web.one'/></disk>
</disks>{DOMAIN}</domainsnapshot>"""
CAPABILITIES = """<domainCapabilities><path>/usr/bin/qemu-system-x86_64</path><domain>kvm</domain>
<machine>pc-q35-7.2</machine><arch>x86_64</arch><vcpu max='288'/><cpu><mode name='maximum' supported='yes'/></cpu>
<devices><disk supported='yes'><enum name='bus'><value>virtio</value><value>sata</value></enum></disk>
<video><enum name='modelType'><value>vga</value></enum></video><graphics><enum name='type'><value>vnc</value></enum>
</graphics><panic><enum name='model'><value>isa</value></enum></panic></devices></domainCapabilities>"""
NETWORK = """<network><name>default</name><ip address='192.0.2.1' netmask='255.255.255.0'><dhcp>
<range start='192.0.2.2' end='192.0.2.254'><lease expiry='1' unit='hours'/></range>
<host mac='52:54:00:00:00:01' ip='192.0.2.5'><lease expiry='90'/></host></dhcp></ip></network>"""
POOL = "<pool type='dir'><name>default</name><target><path>/images</path></target></pool>"
IMAGE = json.dumps(
    {
        "virtual-size": 65536, "filename": "/images/web.qcow2", "format": "qcow2", "backing-filename-format": "raw",
        "backing-filename": "base.img", "full-backing-filename": "/images/base.img",
        "format-specific": {"type": "qcow2", "data": {"data-file": "/images/data", "extents": [{"filename": "/x"}]}},
    }
)  # fmt: skip
BACKING_NAMES = (
    "json:{'driver': 'qcow2', 'file': {'driver': 'file', 'filename': '/images/a\\u0062.img'}}",
    'json:{"file.filename": "json:{\\"driver\\":\\"raw\\",\\"file.filename\\":\\"/b\\"}"}',
    *(
        "/images/base.img",
        "../base.img",
        "file:/base.img",
        "nbd+unix:///name?socket=/run/s%20k",
        "blkdebug:/c:/images/x",
    ),
)
AGENT = json.dumps(
    {
        "return": [
            {"name": "lo", "ip-addresses": [{"ip-address-type": "ipv4", "ip-address": "127.0.0.1", "prefix": 8}]},
            {
                "name": "eth0", "hardware-address": "52:54:00:00:00:01",
                "ip-addresses": [{"ip-address": "192.0.2.5"}, {"ip-address": "fe80::1%eth0"}],
            },
        ]
    }
)  # fmt: skip
ADDRESSES = """Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 192.0.2.1
        /32 host LOCAL
     |-- 127.0.0.1
        /32 host LOCAL
20010db8000000000000000000000007 02 40 00 80     eth0
@time 1767225600.123456789 4711.25 100
@start 123456
@start """
MEMORY = """available 16000000
zfs_size 1073741824
zfs_c_min 67108864
huge 2048 100 50
reserved 1073741824 11111111-2222-4333-8444-555555555555"""
REPORT = f"""l 128 1 81a4 /images/web.qcow2
l 0 1 a1ff /images/link
f 2049 12 81a4 65536 1767225600 2026-01-01 00:00:00.000000000 +0000 /images/web.qcow2
f 2049 13 81a4 65536 1767225600 - /images/link
s 1234567890abcdef ef53 ext2/ext3 /images/web.qcow2
s 1234567890abcdef ef53 ext2/ext3 /images/link
i /images/web.qcow2
{IMAGE}
e /images/link
qemu-img: Could not open '/images/link': Image is not in qcow2 format
h /images/link
 51 46 49 fb 00 00 00 03 00 00 00 00 00 00 00 68 00 00 00 04
r /images/web.qcow2
r /images/target
m /
m /mnt/a\\040b
x /srv/nfs
end
"""
REPORT_ERRORS = """stat: cannot statx '/images/link': Permission denied
stat: cannot statx ''$'\\303\\251\\n'' '\\''x': No such file or directory"""
FOUND_IMAGES = f"""n /images/top.qcow2
o /images/caf?.qcow2
{IMAGE}
end
"""
OPEN_FILES = """2049:12 /proc/123/fd/5
fd:00:12 open as /dev/loop0
2049:14 exported by nbd-server
/proc/123/cmdline-11111111-2222-4333-8444-555555555555
1: OFDLCK ADVISORY  READ  -1 fd:00:15 100 101"""
QUOTED = ("''$'\\303\\251\\n'' '\\''x'", "'/images/a b'", '"it\'s"', "/plain", "$'a\\\\\\tb'")
REMOVED = "deleted\nkept open in process 12 (qemu)\ngone\nfailed rm: cannot remove 'x': Operation not permitted\nkept\n"
CACHE = json.dumps(
    {
        "format": 3,
        "nodes": [
            {
                "name": "ham0", "seen_at": 1767225600.5,
                "info": {"pcpus": 8, "memory_bytes": 1 << 34, "available_bytes": 1 << 33},
                "guests": [["ham0", "web", "1111", "running", 1 << 30, 2, ["192.0.2.5"], ""]],
            }
        ],
    }
)  # fmt: skip
NODE_REPORT = json.dumps({key: json.loads(CACHE)["nodes"][0][key] for key in ("info", "guests")})
KVM_CACHE = json.dumps({"key": "boot-id 12", "status": "works", "reason": ""})
SSH_SETTINGS = """host ham0
user root
hostname 192.0.2.10
port 22
identityfile ~/.ssh/id_ed25519
identityfile ~/.ssh/%h-%r
userknownhostsfile ~/.ssh/known_hosts ~/.ssh/known_hosts2
globalknownhostsfile /etc/ssh/ssh_known_hosts
identityagent SSH_AUTH_SOCK
proxyjump admin@gate:2222,second
ciphers chacha20-poly1305@openssh.com,aes128-ctr
requiredrsasize 1024
forkafterauthentication no
controlpath /run/user/0/%C"""
SSH_MESSAGES = """debug1: Connecting to ham0 [192.0.2.10] port 22.
debug1: Server accepts key: /root/.ssh/id_ed25519 ED25519 SHA256:abc
debug1: Trying private key: /root/.ssh/id_rsa
Load key "/root/.ssh/open": bad permissions
@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @
Error checking host key ED25519 SHA256:abc in revoked keys file ~/.ssh/revoked: No such file or directory
Offending ED25519 key in /root/.ssh/known_hosts:3
  remove with:
  ssh-keygen -f '/root/.ssh/known_hosts' -R 'ham0'
Host key verification failed."""
SSH_REFUSALS = (
    "root@ham0: Permission denied (publickey,password).",
    "ssh: connect to host ham0 port 22: Connection refused",
    "ssh: Could not resolve hostname ham0: Name or service not known",
)
KNOWN_HOSTS = """# comment
ham0,192.0.2.* ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ
|1|F1E1KeoE/eEWhi10WpGv4OdiO6Y=|3988QV0VE8wmZL7suNrYQLITLCg= ssh-rsa AAAAB3NzaC1yc2EAAAADAQAB
@revoked [ham0]:2222,!bad ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ
@cert-authority *.example.org ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGJ"""
FRAMED = "motd\n@WORD@\nout\nmore"
CONSOLE = """\x1b[2J\x1b[1;31mBooting\x1b[0m \x1b]0;title\x07\r
ci-info: +++++++++++++++++++++++++++Net device info++++++++++++++++++++++++++++\r
ci-info: |  eth0  | True |         192.0.2.5          | 255.255.255.0 | global | 52:54:00:00:00:01 |\r
caf\xe9 web login: """
BANNER = "notice\r\nSSH-2.0-OpenSSH_9.2\r\n"
BUILD = """@M claimed
@M reserved 1073741824 11111111-2222-4333-8444-555555555555
downloading 50%\r
note: password is x
@M started
@M file /images/web.qcow2
@M identity 12 2026-01-01 00:00:00.0 +0000 /images/web.qcow2
@M logged
@M still 1024 1
@M ready"""
MUX_REPLIES = (
    "\x80\x00\x00\x01\x00\x00\x00\x00",
    "\x80\x00\x00\x03\x00\x00\x00\x00\x00\x00\x00\x06failed",
    "\x80\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00\x01",
)
IMAGE_HEADS = (
    "QFI\xfb\0\0\0\x03\0\0\0\0\0\0\0\x68\0\0\0\x04" + "\0" * 52 + "\0" * 8 + "\0" * 24 + "base" + "\0" * 16,
    "QED\0\0\0\1\0\4\0\0\0\1\0\0\0\1" + "\0" * 39 + "\x40\0\0\0\4\0\0\0base",
)
LIMIT = "5000 /etc/libvirt/libvirtd.conf\n"
