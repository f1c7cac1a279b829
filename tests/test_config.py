import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mclu_shell.config import Config, find_config, load_config, parse_config
from mclu_shell.errors import ConfigError

FILE = Path("mclu.conf")


def parse(text: str) -> Config:
    return parse_config(text, FILE)


def fault(text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert caught.value.status == 2
    return str(caught.value)


def test_nodes_keep_the_order_of_the_file() -> None:
    nodes = parse("[nodes]\nham2\nham0 mac=74:d4:35:51:ab:86\n\nham1 # the old one\n").nodes
    assert [node.name for node in nodes] == ["ham2", "ham0", "ham1"]
    assert nodes[1].mac == "74:d4:35:51:ab:86"


def test_the_example_of_the_manual_is_valid() -> None:
    nodes = parse("[nodes]\nhost0 mac=11:22:33:44:55:66\nhost1 mac=11:22:33:44:55:67\n").nodes
    assert [(node.name, node.mac) for node in nodes] == [
        ("host0", "11:22:33:44:55:66"),
        ("host1", "11:22:33:44:55:67"),
    ]


def test_missing_keys_are_left_to_ssh() -> None:
    (node,) = parse("[nodes]\nham0").nodes
    assert (node.address, node.user, node.port, node.identity) == (None, None, None, None)
    assert (node.uri, node.via) == ("qemu:///system", "auto")


def test_every_key_is_parsed_to_its_type() -> None:
    line = (
        "n mac=AA-BB-CC-DD-EE-FF address=::1 user=op port=2222 identity='~/my key' uri=test:///default via=local "
        "broadcast=10.0.0.255 images=/srv network=lan connect_timeout=250ms answer_timeout=2 accel=tcg"
    )
    (node,) = parse(f"[nodes]\n{line}").nodes
    assert node.mac == "aa:bb:cc:dd:ee:ff"
    assert (node.address, node.user, node.port, node.identity) == ("::1", "op", 2222, "~/my key")
    assert (node.uri, node.via, node.broadcast) == ("test:///default", "local", "10.0.0.255")
    assert (node.images, node.network) == ("/srv", "lan")
    assert (node.connect_timeout, node.answer_timeout) == (0.25, 2.0)
    assert node.accel == "tcg"


def test_accel_is_auto_unless_set() -> None:
    assert [node.accel for node in parse("[nodes]\na\nb accel=tcg").nodes] == ["auto", "tcg"]
    assert [node.accel for node in parse("[global]\naccel = kvm\n[nodes]\na\nb accel=auto").nodes] == ["kvm", "auto"]


@pytest.mark.parametrize("setting", ["user=op", "user = op", "user = 'op'"])
@pytest.mark.parametrize(
    "order", ["[global]\n{}\n[nodes]\na\nb user=other\n", "[nodes]\na\nb user=other\n[global]\n{}"]
)
def test_the_global_section_gives_defaults_before_or_after_the_nodes(order: str, setting: str) -> None:
    assert [node.user for node in parse(order.format(setting)).nodes] == ["op", "other"]


def test_a_file_with_a_byte_order_mark_and_crlf_is_read(tmp_path: Path) -> None:
    file = tmp_path / "mclu.conf"
    file.write_bytes("\ufeff[nodes]\r\nham0\r\nham1".encode())
    assert [node.name for node in load_config(file).nodes] == ["ham0", "ham1"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ham0", "mclu.conf:1: 'ham0' is before the first section; write [nodes] above it"),
        ("[nodse]", "mclu.conf:1: unknown section '[nodse]'; use [global] or [nodes]"),
        ("[nodes] x", "mclu.conf:1: unknown section '[nodes] x'"),
        ("[nodes", "mclu.conf:1: unknown section '[nodes'"),
        ("# x\n\n[nodes]\nham0\nham0", "mclu.conf:5: duplicate node 'ham0'"),
        ("[nodes]\nham0 ma=1", "mclu.conf:2: unknown key 'ma'; did you mean 'mac'?"),
        ("[nodes]\nham0 zzz=1", "mclu.conf:2: unknown key 'zzz'; use one of mac, address"),
        ("[nodes]\nham0 name=x", "mclu.conf:2: unknown key 'name'"),
        ("[nodes]\nham0 on", "mclu.conf:2: 'on' is not of the form key=value"),
        ("[global]\nport", "mclu.conf:2: 'port' is not of the form key=value"),
        ("[nodes]\nham0 mac=74:d4:35:51:ab", "mclu.conf:2: bad mac '74:d4:35:51:ab': must be of the form 74:d4:"),
        ("[nodes]\nham0 mac=74:d4:35:51:ab:8g", "mclu.conf:2: bad mac"),
        ("[nodes]\nham0 port=0", "mclu.conf:2: bad port '0': must be a number from 1 to 65535"),
        ("[nodes]\nham0 port=65536", "bad port"),
        ("[nodes]\nham0 port=٢٢", "bad port"),
        ("[nodes]\nham0 via=telnet", "bad via 'telnet': must be auto, paramiko, openssh, local or ssh"),
        ("[nodes]\nham0 accel=hvf", "mclu.conf:2: bad accel 'hvf': must be auto, kvm or tcg"),
        ("[global]\naccel=KVM", "mclu.conf:2: bad accel 'KVM'"),
        ("[nodes]\nham0 address=-oProxyCommand=x", "bad address"),
        ("[nodes]\nham0 address='a b'", "bad address"),
        ("[nodes]\nham0 user=-x", "bad user"),
        ("[nodes]\nham0 user='a;b'", "bad user"),
        ("[nodes]\nham0 uri=qemu:///system?socket=/x", "bad uri"),
        ("[nodes]\nham0 images=relative", "bad images 'relative': must be an absolute path on the node"),
        ("[nodes]\nham0 network=", "bad network '': must not be empty or unprintable"),
        ("[global]\nconnect_timeout=soon", "bad connect_timeout 'soon': bad duration 'soon'"),
        ("[global]\nconnect_timeout=0", "must be a time above 0"),
        ("[global]\nanswer_timeout=2h", "at most an hour"),
        ("[nodes]\nham0 user='x", "mclu.conf:2: unbalanced quote"),
        ("[nodes]\n-x", "mclu.conf:2: bad node name '-x'"),
        ("[nodes]\n'ham 0'", "bad node name 'ham 0'"),
        ("[nodes]\nham0:web", "bad node name"),
        ("[nodes]\n../x", "bad node name"),
        ("[nodes]\n'$(reboot)'", "bad node name"),
        ("[nodes]\n" + "h" * 64, "bad node name"),
        # The first fault in the file is reported, also if a later line is no part of any section.
        ("[nodes]\nham0 mac=x\n[nodse]", "mclu.conf:2: bad mac 'x'"),
        ("[nodes]\nham0\nham0\n[global]\nport", "mclu.conf:3: duplicate node 'ham0'"),
        ("[nodes]\nham0 port=0\nham1 user='x", "mclu.conf:2: bad port '0'"),
    ],
)
def test_errors_name_file_and_line(text: str, message: str) -> None:
    assert message in fault(text)


@given(st.text() | st.text(alphabet="[]nodes=global \t\n#'\"\\mac:0", max_size=60))
def test_any_text_is_a_configuration_or_a_config_error(text: str) -> None:
    with contextlib.suppress(ConfigError):
        parse(text)


class TestSearch:
    def test_the_option_comes_first(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("MCLU_CONFIG", "/from/environment")
        assert find_config("given") == Path("given")

    def test_the_environment_comes_before_the_users_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        own_file(tmp_path)
        monkeypatch.setenv("MCLU_CONFIG", "/from/environment")
        assert find_config(None) == Path("/from/environment")

    def test_an_empty_variable_is_ignored(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("MCLU_CONFIG", "")
        assert find_config(None) == Path("/etc/mclu.conf")

    def test_the_users_file_comes_before_the_systems(self, tmp_path: Path) -> None:
        assert find_config(None) == Path("/etc/mclu.conf")
        file = own_file(tmp_path)
        assert find_config(None) == file

    def test_the_users_file_is_found_in_xdg_config_home(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        own_file(tmp_path)
        elsewhere = tmp_path / "elsewhere/mclu/mclu.conf"
        elsewhere.parent.mkdir(parents=True)
        elsewhere.touch()
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "elsewhere"))
        assert find_config(None) == elsewhere


def own_file(home: Path) -> Path:
    file = home / ".config/mclu/mclu.conf"
    file.parent.mkdir(parents=True)
    file.touch()
    return file


def load_fault(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return str(caught.value)


def test_the_error_of_a_missing_file_has_remedies(tmp_path: Path) -> None:
    message = load_fault(tmp_path / "none.conf")
    assert message.startswith(f"{tmp_path}/none.conf: no configuration; run 'mclu init'")
    assert "mclu --demo" in message


def test_the_error_of_an_unreadable_file_has_the_reason(tmp_path: Path) -> None:
    assert load_fault(tmp_path) == f"{tmp_path}: cannot read: Is a directory"
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\0")
    assert load_fault(binary) == f"{binary}: cannot read: not a text file"
