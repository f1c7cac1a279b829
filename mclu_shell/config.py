"""mclu.conf: its location, keys and values; errors name file and line."""

import os
import re
import shlex
from pathlib import Path
from typing import NamedTuple

from mclu_shell.errors import ConfigError, did_you_mean, format_alternatives
from mclu_shell.files.reader import read_file
from mclu_shell.system_faults import system_fault
from mclu_shell.units import parse_duration
from mclu_shell.user_paths import is_missing, xdg_directory

NODE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
NODE_NAME_RULE = "use at most 63 letters, digits, '.', '_' and '-'"
_MAC = re.compile(r"[0-9A-Fa-f]{2}([:-][0-9A-Fa-f]{2}){5}")
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:%_-]*")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._@\\-]*")
_CHOICES = {"via": ("auto", "paramiko", "openssh", "local", "ssh"), "accel": ("auto", "kvm", "tcg")}
_SYSTEM = Path("/etc/mclu.conf")
_URI = re.compile(r"[a-z]+://[^?#]*")


class NodeConfig(NamedTuple):
    """A node of mclu.conf; the user's SSH configuration provides the values that are None."""

    name: str
    mac: str | None = None
    address: str | None = None
    user: str | None = None
    port: int | None = None
    identity: str | None = None
    uri: str = "qemu:///system"
    via: str = "auto"
    broadcast: str = "255.255.255.255"
    images: str = "/var/lib/libvirt/images"
    network: str = "default"
    accel: str = "auto"
    connect_timeout: float = 0.8
    answer_timeout: float = 4.0

    @property
    def runs_guests(self) -> bool:
        """True if libvirt's guests run on the machine that commands run on: they are not simulated, nor elsewhere."""
        driver, _, rest = self.uri.partition("://")
        return driver not in ("", "test") and rest.startswith("/")


class Config(NamedTuple):
    """The nodes in the order of the file, which is also that of all output."""

    path: Path
    nodes: tuple[NodeConfig, ...]


def demo_config() -> Config:
    """Return the simulated cloud of `mclu --demo`: the four nodes of the original manual's example."""
    nodes = (NodeConfig(f"ham{i}", mac=f"74:d4:35:51:ab:{0x86 + i:02x}") for i in range(4))
    return Config(Path("--demo"), tuple(nodes))


def find_config(named: str | None) -> Path:
    """Return the file: --config-file, $MCLU_CONFIG, ~/.config/mclu/mclu.conf, or /etc/mclu.conf."""
    if named is not None:
        return Path(named)
    if os.environ.get("MCLU_CONFIG"):
        return Path(os.environ["MCLU_CONFIG"])
    own = _own_config()
    # A file that cannot be looked up is reported. Otherwise mclu would work on the nodes of another file.
    return _SYSTEM if is_missing(own) else own


def config_to_write(named: str | None) -> Path:
    """Return the file that `init` writes: the one that mclu reads; the user's own if there is none."""
    path = find_config(named)
    return _own_config() if path == _SYSTEM and is_missing(path) and named is None else path


def _own_config() -> Path:
    return xdg_directory("XDG_CONFIG_HOME", ".config") / "mclu" / "mclu.conf"


def load_config(path: Path) -> Config:
    """Read and check a configuration file; raise ConfigError with file and line."""
    try:
        text = read_file(path).decode("utf-8-sig")
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, UnicodeDecodeError) as error:
        fault = system_fault(error) if isinstance(error, OSError) else None
        reason, remedy = (fault.fact, fault.remedy) if fault else ("not a text file", "")
        raise ConfigError(f"cannot read: {reason}", place=str(path), remedy=remedy) from error
    return parse_config(text, path)


def _missing(path: Path) -> ConfigError:
    remedy = "run 'mclu init' to write one, or try 'mclu --demo'"
    if path == _SYSTEM:
        return ConfigError(f"no configuration: neither {_own_config()} nor {path} exists", remedy=remedy)
    return ConfigError("no configuration", place=str(path), remedy=remedy)


def parse_config(text: str, path: Path, *, may_be_empty: bool = False) -> Config:
    """Parse and check the text of a configuration; `path` is for errors."""
    section = ""
    defaults: dict[str, str | int | float] = {}
    nodes: dict[str, dict[str, str | int | float]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        place = f"{path}:{number}"
        words = _split(line, place)
        if not words:
            continue
        if words[0].startswith("["):
            section = _section(line.partition("#")[0].strip(), place)
        elif section == "global":
            defaults |= _settings(_join_spaced(words), place)
        elif section == "nodes":
            name = _name(words[0], place)
            settings = _settings(words[1:], place)
            if name in nodes:
                raise ConfigError(f"duplicate node {name!r}", place=place)
            nodes[name] = settings
        else:
            raise ConfigError(f"{words[0]!r} is before the first section", place=place, remedy="write [nodes] above it")
    if not nodes and not may_be_empty:
        remedy = "run 'mclu init', or write a line 'NAME mac=…' per node under [nodes]"
        raise ConfigError("no nodes", place=str(path), remedy=remedy)
    # After all lines, as [global] may follow [nodes]. The keys are the fields of NodeConfig, and _value returns the
    # type of each.
    configs = (NodeConfig(name, **(defaults | settings)) for name, settings in nodes.items())  # type: ignore[arg-type]
    return Config(path, tuple(configs))


def _split(line: str, place: str) -> list[str]:
    try:
        return shlex.split(line, comments=True)
    except ValueError as error:
        raise ConfigError(f"unbalanced quote ({error})", place=place) from None


def _section(header: str, place: str) -> str:
    name = header.removeprefix("[").removesuffix("]").strip()
    if header != f"[{name}]" or name not in ("global", "nodes"):
        raise ConfigError(f"unknown section {header!r}", place=place, remedy="use [global] or [nodes]")
    return name


def _join_spaced(words: list[str]) -> list[str]:
    """Join the words of `key = value`, which is usual in [global]."""
    return ["".join(words)] if len(words) == 3 and words[1] == "=" else words


def _name(word: str, place: str) -> str:
    if not NODE_NAME.fullmatch(word):
        raise ConfigError(f"bad node name {word!r}", place=place, remedy=NODE_NAME_RULE)
    return word


_KEYS = [name for name in NodeConfig._fields if name != "name"]


def _settings(words: list[str], place: str) -> dict[str, str | int | float]:
    settings = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise ConfigError(f"{word!r} is not of the form key=value (without blanks)", place=place)
        if key not in _KEYS:
            remedy = did_you_mean(key, _KEYS) or f"use one of {', '.join(_KEYS)}"
            raise ConfigError(f"unknown key {key!r}", place=place, remedy=remedy)
        settings[key] = _value(key, value, place)
    return settings


def _value(key: str, value: str, place: str) -> str | int | float:
    try:
        return _checked(key, value)
    except ValueError as error:
        raise ConfigError(f"bad {key} {value!r}: {error}", place=place) from None


def _checked(key: str, value: str) -> str | int | float:
    """Return the value of a key in its type; raise ValueError with the expected form."""
    if not value or not value.isprintable():
        raise ValueError("must not be empty or unprintable")
    match key:
        case "mac":
            return _matching(_MAC, value, "of the form 74:d4:35:51:ab:86").lower().replace("-", ":")
        case "port":
            return _port(value)
        case "connect_timeout" | "answer_timeout":
            return _timeout(value)
        case "via" | "accel":
            return _one_of(value, _CHOICES[key])
        case "address" | "broadcast":
            return _matching(_HOST, value, "a host name or an IP address")
        case "user":
            return _matching(USER, value, "a user's name")
        case "uri":
            return _matching(_URI, value, "of the form qemu:///system")
        case "images":
            return _absolute(value)
        case _:
            return value


def _matching(pattern: re.Pattern[str], value: str, form: str) -> str:
    if not pattern.fullmatch(value):
        raise ValueError(f"must be {form}")
    return value


def _one_of(value: str, allowed: tuple[str, ...]) -> str:
    if value not in allowed:
        raise ValueError(f"must be {format_alternatives(allowed)}")
    return value


def _port(value: str) -> int:
    if not (value.isdecimal() and value.isascii() and 0 < int(value) < 65536):
        raise ValueError("must be a number from 1 to 65535")
    return int(value)


def _timeout(value: str) -> float:
    seconds = parse_duration(value)
    if not 0 < seconds <= 3600:
        raise ValueError("must be a time above 0 and at most an hour")
    return seconds


def _absolute(value: str) -> str:
    if not value.startswith("/"):
        raise ValueError("must be an absolute path on the node")
    return value
