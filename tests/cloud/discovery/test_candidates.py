"""Candidates: names of the SSH configuration and of known_hosts."""

from pathlib import Path

import pytest

from mclu_shell.cloud.discovery.candidates import Source, find_candidates, host_names, named_candidates
from mclu_shell.cloud.transport.openssh import host_blocks
from mclu_shell.cloud.transport.openssh.config import SSHConfig
from mclu_shell.cloud.transport.openssh.known_hosts import list_hosts

KEY = "ssh-ed25519 AAAA"
HASHED = "|1|bmFtZQ==|a2V5a2V5a2V5a2V5a2V5a2V5a2U="


@pytest.fixture
def ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's directory of ssh; the program itself uses that of the passwd entry."""
    for module in ("cloud.transport.openssh.host_blocks", "cloud.discovery.candidates"):
        monkeypatch.setattr(f"mclu_shell.{module}.find_ssh_home", lambda: tmp_path)
    monkeypatch.setattr(host_blocks, "_SYSTEM", tmp_path / "none")
    directory = tmp_path / ".ssh"
    directory.mkdir()
    return directory


def test_the_names_of_included_files_come_in_their_order_without_patterns(ssh: Path) -> None:
    (ssh / "conf.d").mkdir()
    (ssh / "conf.d/lab").write_text("Host ham2 ham*\nMatch host ham3,*.example user root\n")
    (ssh / "config").write_text(
        "Host ham1 !ham9\nInclude conf.d/*\nhost=ham4\nHost ham1 h?m\nHost ::1 a/b\nMatch all\n"
    )
    found = find_candidates(SSHConfig())
    names = [host.name for host in found.hosts if host.source == Source.SSH]
    assert names == ["ham1", "ham2", "ham3", "ham4"]


def test_known_hosts_has_names_ports_and_hashed_entries(tmp_path: Path) -> None:
    file = tmp_path / "known_hosts"
    lines = ("ham0,10.0.0.1", "[ham0]:2222", HASHED, HASHED, "*.example", "@revoked bad", "# no", "ham0", "10.0.0.9")
    file.write_text("".join(f"{line} {KEY}\n" for line in lines))
    listed = list_hosts([file, tmp_path / "none"])
    assert listed.hosts == (("ham0", 22), ("ham0", 2222), ("10.0.0.9", 22))
    assert listed.hashed == 1


def test_completion_has_the_names_of_both_without_running_ssh(ssh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    (ssh / "config").write_text("Host ham1\n")
    (ssh / "known_hosts").write_text(f"ham1 {KEY}\nham2 {KEY}\n[::1]:22 {KEY}\n")
    assert host_names() == {"ham1": Source.SSH, "ham2": Source.KNOWN_HOSTS}


def test_a_named_host_is_a_candidate_once_and_may_have_a_user() -> None:
    hosts = named_candidates([("", "ham0"), ("admin", "ham1"), ("root", "ham0")]).hosts
    assert [(host.name, host.config.user) for host in hosts] == [("ham0", None), ("ham1", "admin")]
