import pytest

from mclu_shell.cloud.hypervisor.domain_files import (
    DomainDefinition,
    backing_files,
    claimed_files,
    disk_files,
    disks_without_path,
    memory_files,
    named_paths,
    nvram_files,
    overlay_files,
    own_files,
    own_logs,
    volumes,
)
from mclu_shell.cloud.hypervisor.file_names import FileNames

WEB = """\
<domain type="qemu">
  <name>web</name>
  <uuid>1</uuid>
  <metadata>
    <m:guest xmlns:m="urn:mclu:1" uuid="{noted}">
    <m:file>/i/web.qcow2</m:file><m:file>/i/web.qcow2.seed</m:file></m:guest>
  </metadata>
  <os><loader>/fw/code</loader><nvram template="/fw/vars">/n/web</nvram><kernel> /i/kernel </kernel></os>
  <devices>
    <disk><source file="/i/web.qcow2"/><backingStore><source file="/i/base"/></backingStore></disk>
    <disk><source dev="/dev/vg/web"/></disk>
    <disk type="volume"><source pool="disks" volume="two.img"/></disk>
    <disk type="network"><source protocol="nbd" name="export"/></disk>
    <disk type="dir"><source dir="/i/dir"/></disk>
    <disk device="cdrom"/>
  </devices>
  <q:commandline xmlns:q="urn:q"><q:arg value="-drive"/><q:arg value="file=/i/odd,if=none"/></q:commandline>
</domain>
"""


def defined(xml: str, name: str = "web", images: str = "/i") -> DomainDefinition:
    return DomainDefinition(name, (xml,), (), (), names=FileNames(images, is_system=True))


def test_own_files_are_those_that_mclu_created() -> None:
    assert own_files(defined(WEB.format(noted="1"))) == ("/i/web.qcow2", "/i/web.qcow2.seed")


def test_a_copy_of_a_guest_owns_no_files() -> None:
    assert own_files(defined(WEB.format(noted="2"))) == ()
    assert own_files(defined(WEB.replace(' uuid="{noted}"', ""))) == ()


def test_a_guest_that_was_renamed_or_comes_from_another_directory_owns_no_files() -> None:
    xml = WEB.format(noted="1")
    assert own_files(defined(xml, name="www")) == own_files(defined(xml, images="/other")) == ()


@pytest.mark.parametrize(
    "claim",
    [
        *("/etc/passwd", "/i/db.qcow2", "/i/web", "/i/web.qcow2/../db.qcow2", "/i/web.qcow2.x/../../etc/passwd"),
        *("/i/sub/web.qcow2", "/i/../i/web.qcow2", "//i/web.qcow2", "web.qcow2", "/i/web.qcow2x", "/i/web.qcow2.a/b"),
    ],
)
def test_metadata_makes_no_file_of_another_name_the_guests(claim: str) -> None:
    guest = defined(WEB.format(noted="1").replace("/i/web.qcow2.seed", claim))
    assert own_files(guest) == ("/i/web.qcow2",)
    assert claim in claimed_files(guest)


@pytest.mark.parametrize("log", ["/etc/shadow", "/var/log/libvirt/qemu/db.serial", "/var/log/libvirt/qemu/../x"])
def test_metadata_makes_no_other_log_the_guests(log: str) -> None:
    claim = WEB.format(noted="1").replace("</m:guest>", "<m:log>{}</m:log></m:guest>")
    own = "/var/log/libvirt/qemu/web.serial"
    assert (own_logs(defined(claim.format(own))), own_logs(defined(claim.format(log)))) == ((own,), ())


@pytest.mark.parametrize(
    ("file", "is_system", "is_nvram"),
    [
        ("/var/lib/libvirt/qemu/nvram/web_VARS.fd", True, True),
        ("/srv/qemu/nvram/web_VARS.fd", True, False),
        ("/home/me/.config/libvirt/qemu/nvram/web_VARS.qcow2", False, True),
        ("/var/lib/libvirt/qemu/nvram/db_VARS.fd", True, False),
        ("/etc/passwd", False, False),
    ],
)
def test_nvram_is_the_guests_only_where_libvirt_puts_it(file: str, is_system: bool, is_nvram: bool) -> None:
    assert FileNames("/i", is_system).is_nvram(file, "web") == is_nvram


def test_disks_and_volumes_are_listed() -> None:
    assert disk_files(WEB) == ("/i/web.qcow2", "/dev/vg/web", "/i/dir")
    assert volumes(WEB) == (("disks", "two.img"),)


def test_disks_without_a_path_are_listed() -> None:
    assert disks_without_path(DomainDefinition("web", (WEB,), (), ("/d/two.img",))) == ("nbd:export",)
    assert disks_without_path(DomainDefinition("web", (WEB, WEB), (), ())) == ("nbd:export", "disks/two.img")


def test_backing_files_are_listed() -> None:
    deeper = '<backingStore><source file="/i/base"/><backingStore><source dev="/dev/x"/></backingStore></backingStore>'
    xml = WEB.replace('<backingStore><source file="/i/base"/></backingStore>', deeper)
    assert backing_files(xml) == {"/i/web.qcow2": ("/i/base", "/dev/x"), "/i/base": ("/dev/x",)}


def test_nvram_files_are_listed() -> None:
    assert nvram_files(WEB) == ("/n/web",)
    assert nvram_files('<domain><os><nvram type="file"><source file="/n/x"/></nvram></os></domain>') == ("/n/x",)
    assert nvram_files('<domain><os><nvram template="/fw/vars"/></os></domain>') == ()


def test_named_paths_exclude_the_metadata() -> None:
    assert named_paths(WEB.format(noted="1").replace("/i/web.qcow2.seed", "/i/only-noted")) == {
        "/fw/code", "/fw/vars", "/n/web", "/i/kernel", "/i/web.qcow2", "/i/base", "/dev/vg/web", "/i/dir", "/i/odd",
    }  # fmt: skip


def test_files_of_an_external_snapshot_are_listed() -> None:
    xml = f"""<domainsnapshot><name>one</name><memory snapshot="external" file="/s/memory"/>
    <disks><disk name="vda" snapshot="external"><source file="/s/vda"/></disk>
    <disk name="vdb" snapshot="internal"/><disk name="vdc" snapshot="no"/></disks>{WEB.format(noted="1")}
    </domainsnapshot>"""
    assert overlay_files(xml) == ("/s/vda",)
    assert memory_files(xml) == ("/s/memory",)
    assert {"/s/vda", "/i/web.qcow2"} <= named_paths(xml)
    assert "/i/web.qcow2.seed" not in named_paths(xml)


def test_an_internal_snapshot_has_no_files() -> None:
    xml = """<domainsnapshot><memory snapshot="internal"/><disks><disk name="vda" snapshot="internal"/></disks>
    </domainsnapshot>"""
    assert overlay_files(xml) == memory_files(xml) == ()
