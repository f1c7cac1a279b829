import subprocess
from pathlib import Path

import pytest

from mclu_shell.cloud.transport.openssh.known_hosts import KnownKey, known_keys

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6"


def write(directory: Path, *lines: str) -> Path:
    file = directory / "known_hosts"
    file.write_text("\n".join(lines) + "\n")
    return file


def numbers(file: Path, name: str, port: int = 22) -> list[int]:
    """Return the numbers of the lines that list a host."""
    return [int(key.place.rpartition(":")[2]) for key in known_keys((file,), name, port)]


def test_a_plain_line_matches_each_listed_host(tmp_path: Path) -> None:
    file = write(tmp_path, f"ham0,10.0.0.7 {KEY} a comment", f"ham1 {KEY}", f"ham0 {KEY}")
    assert numbers(file, "ham0") == [1, 3]
    assert numbers(file, "10.0.0.7") == [1]
    assert numbers(file, "ham") == numbers(file, "ham00") == []
    assert known_keys((file,), "ham1", 22) == [KnownKey(f"{file}:2", "", "ham1", *KEY.split())]


@pytest.mark.parametrize("separator", ["\x0b", "\x0c", "\x1c", "\x85", "\u2028", "\r"])
def test_a_comment_ends_only_with_its_line(tmp_path: Path, separator: str) -> None:
    """ssh knows no other separator, so the rest of the comment is no entry."""
    file = tmp_path / "known_hosts"
    file.write_bytes(f"# retired:{separator}ham0 {KEY}\n".encode())
    assert numbers(file, "ham0") == []


def test_case_does_not_matter_in_names(tmp_path: Path) -> None:
    file = write(tmp_path, f"Ham0 {KEY}")
    assert numbers(file, "hAM0") == [1]


def test_a_port_other_than_22_needs_brackets(tmp_path: Path) -> None:
    file = write(tmp_path, f"[ham0]:2222 {KEY}", f"ham0 {KEY}", f"[::1]:2222 {KEY}")
    assert numbers(file, "ham0", 2222) == [1]
    assert numbers(file, "ham0") == [2]
    assert numbers(file, "::1", 2222) == [3]


@pytest.mark.parametrize(
    ("pattern", "names", "others"),
    [
        ("ham*", ["ham0", "ham"], ["egg", "xham"]),
        ("ham?", ["ham0"], ["ham", "ham00"]),
        ("*,!ham1", ["ham0", "egg"], ["ham1"]),
        ("!ham1,*", ["ham0"], ["ham1"]),
        ("*,!HAM1", ["ham0"], ["ham1"]),
        ("!ham1", [], ["ham0", "ham1"]),
        ("ham[01]", [], ["ham0", "ham1"]),
    ],
)
def test_wildcards_and_negations_match_as_in_ssh(
    tmp_path: Path, pattern: str, names: list[str], others: list[str]
) -> None:
    file = write(tmp_path, f"{pattern} {KEY}")
    assert [name for name in [*names, *others] if numbers(file, name)] == names


def test_wildcards_and_negations_match_with_a_port(tmp_path: Path) -> None:
    file = write(tmp_path, f"[ham*]:2222,![ham1]:2222 {KEY}")
    assert numbers(file, "ham0", 2222) == [1]
    assert numbers(file, "ham1", 2222) == []
    assert numbers(file, "ham0") == []


def test_names_hashed_by_ssh_keygen_match(tmp_path: Path) -> None:
    file = write(tmp_path, f"ham0,ham1 {KEY}", f"[ham0]:2222 {KEY}")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    assert "ham0" not in file.read_text()
    # ssh-keygen writes one line for each name.
    assert len(numbers(file, "ham0")) == len(numbers(file, "ham1")) == len(numbers(file, "ham0", 2222)) == 1
    assert numbers(file, "HAM0") == numbers(file, "ham0")
    assert numbers(file, "ham2") == []


def test_a_key_of_ssh_keygen_is_read_unchanged(tmp_path: Path) -> None:
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "key"], check=True)
    kind, key, *_ = (tmp_path / "key.pub").read_text().split()
    file = write(tmp_path, f"ham0 {kind} {key}")
    (key_line,) = known_keys((file,), "ham0", 22)
    assert (key_line.kind, key_line.key, key_line.marker) == (kind, key, "")


def test_markers_are_separate_from_names(tmp_path: Path) -> None:
    file = write(tmp_path, f"@revoked ham0 {KEY}", f"@cert-authority *.lan,ham0 {KEY}", f"ham0 {KEY}")
    assert [key.marker for key in known_keys((file,), "ham0", 22)] == ["@revoked", "@cert-authority", ""]


def test_comments_blank_lines_and_invalid_lines_are_skipped(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        "# ham0 ssh-ed25519 A",
        "",
        "   ",
        "ham0",
        "ham0 ssh-ed25519",
        "@revoked",
        "@revoked ham0",
        "|1|x|y ssh-ed25519 A",
        "|1|onlyone ssh-ed25519 A",
        "|1|YQ==|YQ==|YQ== ssh-ed25519 A",
        "  \tham0  " + KEY,
    )
    assert numbers(file, "ham0") == [11]


def test_files_are_read_in_order_and_missing_ones_are_empty(tmp_path: Path) -> None:
    first = write(tmp_path, f"ham0 {KEY}")
    second = tmp_path / "second"
    second.write_bytes(b"\xff\xfe ham0\n" + f"ham0 {KEY}".encode())
    keys = known_keys((tmp_path / "none", tmp_path, second, first), "ham0", 22)
    assert [key.place for key in keys] == [f"{second}:2", f"{first}:1"]


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    file = write(tmp_path, f"ham0 {KEY}")
    assert numbers(file, "ham1") == []
    with file.open("a") as opened:
        opened.write(f"ham1 {KEY}\n")
    assert numbers(file, "ham1") == [2]
