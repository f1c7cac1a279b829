"""Builds of the shipped templates on this machine, from mirrors that are directories."""

import hashlib
import json
import os
import platform
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

TEMPLATES = Path(__file__).parents[2] / "templates"
KEYS = 'ssh-ed25519 AAAAone it\'s: "me" # here\nssh-rsa BBBBtwo other'


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Return the path for a guest's disk, in an empty directory."""
    (tmp_path / "images").mkdir()
    return tmp_path / "images/web.qcow2"


class Builder:
    """Starts builds as mclu does: in an empty directory, without input, with the variables of docs/templates.md."""

    def __init__(self, output: Path, directory: Path) -> None:
        self.environment = {"base_image": "x-1", "name": "web", "format": "qcow2", "output": str(output)}
        self.directory = directory

    def start(self, template: str, **more: object) -> subprocess.Popen[str]:
        """Start a build with more variables; stderr goes to stdout."""
        return subprocess.Popen(
            [TEMPLATES / f"{template}.template", "build"],
            env={**os.environ, **self.environment, **{name: str(value) for name, value in more.items()}},
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            process_group=0,
        )

    def __call__(self, template: str, **more: object) -> tuple[int, str]:
        """Build; return the exit status and the output."""
        with self.start(template, **more) as process:
            printed, _ = process.communicate(timeout=60)
        return process.returncode, printed


@pytest.fixture
def build(tmp_path: Path, output: Path) -> Builder:
    (tmp_path / "work").mkdir()
    return Builder(output, tmp_path / "work")


def disk(path: Path) -> dict[str, object]:
    info = subprocess.run(["qemu-img", "info", "--output=json", path], capture_output=True, text=True, check=True)
    return dict(json.loads(info.stdout))


# Cloud images

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}[platform.machine()]
IMAGES = {
    "debian-cloud": (f"debian-13-generic-{ARCHITECTURE}.qcow2", "SHA512SUMS", "sha512", "  "),
    "ubuntu-cloud": (f"ubuntu-24.04-server-cloudimg-{ARCHITECTURE}.img", "SHA256SUMS", "sha256", " *"),
}


class Mirror:
    """A directory like a distribution's server: an image, and the checksums of it and another image."""

    def __init__(self, template: str, path: Path) -> None:
        self.template = template
        self.path = path
        self.image, self.sums, self.kind, self.between = IMAGES[template]
        path.mkdir()
        self.publish("2G")

    def publish(self, size: str) -> str:
        """Replace the image; return its checksum."""
        subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", self.path / self.image, size], check=True)
        checksum = hashlib.new(self.kind, (self.path / self.image).read_bytes()).hexdigest()
        other = hashlib.new(self.kind, b"").hexdigest()
        lines = f"{other}{self.between}{self.image}.asc\n{checksum}{self.between}{self.image}\n"
        (self.path / self.sums).write_text(lines)
        return checksum


@pytest.fixture(params=sorted(IMAGES))
def mirror(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """Return a mirror from which a template's build downloads."""
    monkeypatch.setenv("MCLU_MIRROR", f"file://{tmp_path}/mirror")
    return Mirror(str(request.param), tmp_path / "mirror")


def cached(output: Path) -> list[str]:
    """Return the files in the cache of images, without lock files."""
    names = [path.name for path in (output.parent / ".mclu-cache").glob("*")]
    return sorted(name for name in names if not name.endswith(".lock"))


def seed(output: Path, name: str) -> str:
    """Return the content of a file on the CD-ROM for cloud-init."""
    completed = subprocess.run(
        ["isoinfo", "-J", "-i", f"{output}.seed", "-x", f"/{name}"], capture_output=True, text=True, check=True
    )
    return completed.stdout


def test_the_disk_is_an_overlay_on_the_cached_image(mirror: Mirror, build: Builder, output: Path) -> None:
    assert build(mirror.template, size=5 << 30)[0] == 0
    made = disk(output)
    assert (made["format"], made["virtual-size"], made["backing-filename-format"]) == ("qcow2", 5 << 30, "qcow2")
    (base,) = cached(output)
    assert made["backing-filename"] == str(output.parent / ".mclu-cache" / base)
    assert base.endswith(mirror.image)
    # QEMU runs as another user than the build.
    assert (output.parent / ".mclu-cache" / base).stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in output.parent.glob("[!.]*")) == ["web.qcow2", "web.qcow2.seed"]


def test_a_disk_has_10_gib_by_default(mirror: Mirror, build: Builder, output: Path) -> None:
    assert build(mirror.template)[0] == 0
    assert disk(output)["virtual-size"] == 10 << 30


def test_the_seed_has_the_name_keys_and_time_zone(mirror: Mirror, build: Builder, output: Path) -> None:
    assert build(mirror.template, timezone="Europe/London", authorized_keys=KEYS)[0] == 0
    assert seed(output, "user-data") == (
        "#cloud-config\n"
        "disable_root: false\n"
        "timezone: 'Europe/London'\n"
        "ssh_authorized_keys:\n"
        "  - |-\n"
        '    ssh-ed25519 AAAAone it\'s: "me" # here\n'
        "  - |-\n"
        "    ssh-rsa BBBBtwo other\n"
    )
    identity, name = seed(output, "meta-data").splitlines()
    assert identity.startswith("instance-id: 'web-")
    assert name == "local-hostname: 'web'"


def test_a_note_warns_of_a_guest_without_ssh_keys(mirror: Mirror, build: Builder, output: Path) -> None:
    status, printed = build(mirror.template, authorized_keys="")
    assert status == 0
    assert "note: you have no SSH public key in ~/.ssh, so you cannot log in\n" in printed
    assert seed(output, "user-data") == "#cloud-config\ndisable_root: false\n"


def test_an_image_is_downloaded_once(mirror: Mirror, build: Builder, output: Path) -> None:
    assert "downloading" in build(mirror.template, authorized_keys=KEYS)[1]
    (mirror.path / mirror.image).unlink()
    assert build(mirror.template, authorized_keys=KEYS, output=f"{output}2") == (0, "")
    assert disk(output)["backing-filename"] == disk(Path(f"{output}2"))["backing-filename"]


def test_a_newer_image_does_not_replace_the_cached_one(mirror: Mirror, build: Builder, output: Path) -> None:
    assert build(mirror.template)[0] == 0
    (before,) = cached(output)
    mirror.publish("3G")
    assert build(mirror.template, output=f"{output}2")[0] == 0
    assert before in cached(output)
    assert len(cached(output)) == 2
    assert disk(output)["backing-filename"] != disk(Path(f"{output}2"))["backing-filename"]


def test_an_image_with_a_wrong_checksum_is_removed(mirror: Mirror, build: Builder, output: Path) -> None:
    with (mirror.path / mirror.image).open("ab") as image:
        image.write(b"more")
    status, printed = build(mirror.template)
    assert status == 1
    message = f"{mirror.template}: {mirror.image} has a wrong checksum, compared with {mirror.sums}\n"
    assert printed.endswith(message)
    assert cached(output) == []
    assert list(output.parent.glob("[!.]*")) == []
    mirror.publish("2G")
    assert build(mirror.template)[0] == 0


@pytest.mark.parametrize("lack", ["image", "checksum", "everything"])
def test_a_missing_file_on_the_mirror_is_named(mirror: Mirror, build: Builder, output: Path, lack: str) -> None:
    if lack == "image":
        (mirror.path / mirror.image).unlink()
    elif lack == "checksum":
        (mirror.path / mirror.sums).write_text(f"{'0' * 64}  another.img\n")
    else:
        shutil.rmtree(mirror.path)
    status, printed = build(mirror.template)
    assert status == 1
    assert (
        printed.splitlines()[-1]
        == {
            "image": f"{mirror.template}: cannot download file://{mirror.path}/{mirror.image}",
            "checksum": f"{mirror.template}: file://{mirror.path}/{mirror.sums} has no checksum of {mirror.image}",
            "everything": f"{mirror.template}: cannot download file://{mirror.path}/{mirror.sums}",
        }[lack]
    )
    assert cached(output) == []
    assert list(output.parent.glob("[!.]*")) == []


def test_an_interrupted_build_leaves_no_partial_image(mirror: Mirror, build: Builder, output: Path) -> None:
    image = mirror.path / mirror.image
    image.unlink()
    os.mkfifo(image)
    with build.start(mirror.template, authorized_keys=KEYS) as building:
        assert building.stdout
        assert building.stdout.readline().startswith("downloading ")
        # A FIFO holds 64 KiB, so when all of this has been written, most has been read.
        with image.open("wb", buffering=0) as half:
            half.write(bytes(1 << 20))
            assert cached(output) != []
            os.killpg(building.pid, signal.SIGTERM)
            assert building.wait(10) != 0
    assert cached(output) == []
    assert list(output.parent.glob("[!.]*")) == []


@pytest.mark.parametrize(
    ("programs", "message"),
    [
        ((), "cannot build on this node: install one of: curl wget"),
        (("curl",), "cannot build on this node: install one of: genisoimage mkisofs xorrisofs"),
    ],
)
def test_missing_programs_are_named_before_the_download(
    mirror: Mirror, build: Builder, output: Path, tmp_path: Path, programs: tuple[str, ...], message: str
) -> None:
    (tmp_path / "bin").mkdir()
    for program in programs:
        (tmp_path / "bin" / program).symlink_to(str(shutil.which(program)))
    assert build(mirror.template, PATH=tmp_path / "bin") == (1, f"{mirror.template}: {message}\n")
    assert list(output.parent.iterdir()) == []


# virt-builder

BUILT = {"debian": "debian-12", "fedora": "fedora-42", "rawhide": "fedora-42", "ubuntu": "ubuntu-22.04"}


@pytest.fixture
def arguments(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Replace virt-builder by a script that records its arguments; return a function that reads them.

    tests/lab runs virt-builder itself, which takes a minute.
    """
    record = tmp_path / "arguments"
    stand_in = tmp_path / "bin/virt-builder"
    stand_in.parent.mkdir()
    stand_in.write_text(f"#!/bin/sh\nprintf '%s\\0' \"$@\" >{record}\n")
    stand_in.chmod(0o755)
    monkeypatch.setenv("PATH", f"{stand_in.parent}:{os.environ['PATH']}")
    return lambda: record.read_text().split("\0")[:-1]


def value(words: list[str], option: str) -> str:
    return words[words.index(option) + 1]


@pytest.mark.parametrize("template", BUILT)
def test_virt_builder_gets_the_variables_as_arguments(
    template: str, arguments: Callable[[], list[str]], build: Builder, output: Path
) -> None:
    variables = {"base_image": BUILT[template], "size": 8 << 30, "timezone": "Europe/London", "authorized_keys": KEYS}
    assert build(template, **variables)[0] == 0
    words = arguments()
    assert words[0] == BUILT[template]
    assert value(words, "--output") == str(output)
    assert value(words, "--format") == "qcow2"
    assert value(words, "--hostname") == "web"
    assert value(words, "--size") == f"{8 << 30}b"
    assert value(words, "--timezone") == "Europe/London"
    assert value(words, "--ssh-inject") == f"root:string:{KEYS}"
    assert ("--selinux-relabel" in words) == (template in ("fedora", "rawhide"))
    assert ("dpkg-reconfigure openssh-server" in words) == (template in ("debian", "ubuntu"))


@pytest.mark.parametrize("template", BUILT)
def test_a_note_has_the_password_for_the_console(
    template: str, arguments: Callable[[], list[str]], build: Builder
) -> None:
    status, printed = build(template)
    assert status == 0
    kind, _, file = value(arguments(), "--root-password").partition(":")
    password = (build.directory / file).read_text().strip()
    assert (kind, len(password)) == ("file", 12)
    assert printed.splitlines()[-1] == f"note: log in on the console as root, with the password {password}"
    assert build(template)[1] != printed


@pytest.mark.parametrize("template", BUILT)
def test_unset_variables_add_no_arguments(template: str, arguments: Callable[[], list[str]], build: Builder) -> None:
    assert build(template, authorized_keys="")[0] == 0
    assert not {"--size", "--timezone", "--ssh-inject"} & set(arguments())


@pytest.mark.parametrize("template", BUILT)
def test_the_error_without_virt_builder_names_the_package(template: str, build: Builder) -> None:
    message = f"{template}: virt-builder is not installed on this node: install guestfs-tools\n"
    assert build(template, PATH="/nowhere") == (1, message)


@pytest.mark.parametrize("template", [*BUILT, *IMAGES, "empty", "tiny"])
def test_a_build_without_variables_fails(template: str, tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "MCLU_MIRROR": f"file://{tmp_path}"}
    words = [str(TEMPLATES / f"{template}.template"), "build"]
    done = subprocess.run(words, env=env, cwd=tmp_path, capture_output=True, timeout=60, check=False)
    assert done.returncode != 0
    assert list(tmp_path.glob("*.qcow2*")) == []
