"""boot where other users of the node can write to the directory of images."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.support.boot import assert_error
from tests.lab.support.cli import mclu
from tests.lab.support.guests import IMAGES, images, sh, template
from tests.lab.support.lab import RealLab

VICTIM = "/root/victim"
CLAIM = f"{IMAGES}/.mclu-web.building"
# An ordinary user of the node.
AS_OTHER = "setpriv --reuid=2 --regid=2 --clear-groups --"


@pytest.fixture(params=["1777", "0777"])
def _open_images(lab: RealLab, request: pytest.FixtureRequest) -> Iterator[None]:
    mode = sh(lab, "ham0", f"stat -c %a {IMAGES}; chmod {request.param} {IMAGES}; echo secret >{VICTIM}")
    yield
    sh(lab, "ham0", f"chmod {mode.strip()} {IMAGES}; rm -f {CLAIM}")


@pytest.mark.usefixtures("_open_images")
def test_boot_writes_through_no_link_of_another_user(lab: RealLab, templates: Path) -> None:
    template(templates, "quick")
    for link in (f"ln -s {VICTIM}", "ln -s /nosuch", "mkfifo"):
        sh(lab, "ham0", f"{AS_OTHER} {link} {CLAIM}")
        result = mclu(lab, "boot", "quick", "web")
        assert_error(result, f"ham0: nothing was built: {CLAIM} is not a file of mclu", "remove it there")
        sh(lab, "ham0", f"rm {CLAIM}")
    # A file of another user is replaced.
    sh(lab, "ham0", f"{AS_OTHER} sh -c 'echo mine >{CLAIM}'")
    assert mclu(lab, "boot", "quick", "web").out == "ham0:web running\n"
    assert images(lab, "ham0") == ["web.qcow2"]
    assert sh(lab, "ham0", f"cat {VICTIM}; ls -A /nosuch 2>&1 || true").startswith("secret\n")


@pytest.mark.usefixtures("_open_images")
def test_another_user_cannot_reserve_memory(lab: RealLab, templates: Path) -> None:
    template(templates, "quick")
    other = f"{IMAGES}/.mclu-other.building"
    script = f'exec 8>{other}; echo "$$ {1 << 50} x" >&8; exec sleep 60'
    pid = sh(lab, "ham0", f"{AS_OTHER} sh -c '{script}' >/dev/null 2>&1 & echo $!; until [ -s {other} ]; do :; done")
    assert mclu(lab, "boot", "quick", "web").out == "ham0:web running\n"
    sh(lab, "ham0", f"kill {pid.strip()}; rm -f {other}")
