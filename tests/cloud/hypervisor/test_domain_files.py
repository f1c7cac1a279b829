from mclu_shell.cloud.hypervisor.domain_files import (
    DomainDefinition,
    backing_files,
    disk_files,
    disks_without_path,
    memory_files,
    named_paths,
    nvram_files,
    overlay_files,
    own_files,
    volumes,
)

WEB = """\
<domain type="qemu">
  <name>web</name>
  <uuid>1</uuid>
  <metadata><m:guest xmlns:m="urn:mclu:1" uuid="{noted}"><m:file>/i/web.qcow2</m:file><m:file>/i/seed</m:file></m:guest>
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


def test_own_files_are_those_that_mclu_created() -> None:
    assert own_files(WEB.format(noted="1")) == ("/i/web.qcow2", "/i/seed")


def test_a_copy_of_a_guest_owns_no_files() -> None:
    assert own_files(WEB.format(noted="2")) == ()
    assert own_files(WEB.replace(' uuid="{noted}"', "")) == ()


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
    assert named_paths(WEB.format(noted="1").replace("/i/seed", "/i/only-noted")) == {
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
    assert "/i/seed" not in named_paths(xml)


def test_an_internal_snapshot_has_no_files() -> None:
    xml = """<domainsnapshot><memory snapshot="internal"/><disks><disk name="vda" snapshot="internal"/></disks>
    </domainsnapshot>"""
    assert overlay_files(xml) == memory_files(xml) == ()
