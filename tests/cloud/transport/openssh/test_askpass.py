"""Questions of ssh, asked by the real program."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mclu_shell.cloud.transport.openssh.askpass import AskpassServer, Replies


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AskpassServer]:
    with AskpassServer(tmp_path / "0.ask") as server:
        yield server


def ask(server: AskpassServer, prompt: str, kind: str = "") -> "subprocess.Popen[bytes]":
    """Run the program as ssh does."""
    environment = {**os.environ, **server.environment, "SSH_ASKPASS_PROMPT": kind}
    return subprocess.Popen([environment["SSH_ASKPASS"], prompt], env=environment, stdout=subprocess.PIPE)


def test_the_reply_is_printed(server: AskpassServer) -> None:
    with ask(server, "Enter passphrase for key '/h/id': ") as program:
        request = next(iter(server))
        assert request.question.text == "Enter passphrase for key '/h/id': "
        assert (request.question.is_secret, request.question.is_notice) == (True, False)
        request.reply("öpen 'sesame'")
        out, _ = program.communicate()
    assert (out.decode(), program.returncode) == ("öpen 'sesame'\n", 0)


def test_an_empty_reply_is_a_reply(server: AskpassServer) -> None:
    with ask(server, "password: ") as program:
        next(iter(server)).reply("")
        assert program.communicate()[0] == b"\n"
    assert program.returncode == 0


def test_no_reply_cancels_the_question(server: AskpassServer) -> None:
    with ask(server, "password: ") as program:
        next(iter(server)).reply(None)
        assert program.communicate()[0] == b""
    assert program.returncode == 1


def test_a_question_about_a_host_key_is_shown_while_it_is_typed(server: AskpassServer) -> None:
    with ask(server, "Are you sure you want to continue connecting (yes/no/[fingerprint])? ") as program:
        request = next(iter(server))
        assert not request.question.is_secret
        request.reply("yes")
        assert program.communicate()[0] == b"yes\n"


@pytest.mark.parametrize(("reply", "status"), [("yes", 0), ("y", 0), ("no", 1), ("", 1)])
def test_a_confirmation_needs_yes(server: AskpassServer, reply: str, status: int) -> None:
    with ask(server, "Allow use of key?", "confirm") as program:
        next(iter(server)).reply(reply)
        program.communicate()
    assert program.returncode == status


def test_a_notice_needs_no_reply(server: AskpassServer) -> None:
    with ask(server, "Confirm user presence for key", "none") as program:
        request = next(iter(server))
        assert request.question.is_notice
        request.reply(None)
        program.communicate()


def test_the_socket_and_the_program_are_private_and_end_with_the_server(tmp_path: Path) -> None:
    with AskpassServer(tmp_path / "0.ask") as server:
        paths = [Path(server.environment[name]) for name in ("SSH_ASKPASS", "MCLU_ASKPASS_SOCKET")]
        assert [path.stat().st_mode & 0o077 for path in paths] == [0, 0]
    assert not any(path.exists() for path in paths)


def test_a_question_that_waits_for_its_reply_is_not_idle(server: AskpassServer) -> None:
    with ask(server, "password: ") as program:
        request = next(iter(server))
        assert server.idle_s() == 0
        with server.answering():
            request.reply("x")
        assert server.idle_s() > 0
        program.communicate()


def test_passphrases_and_passwords_are_kept_and_codes_are_not() -> None:
    replies = Replies()
    for prompt in ("Enter passphrase for key '/h/id': ", "root@ham0's password: ", "(root@ham0) Verification code: "):
        replies.keep(prompt, "x")
    assert replies.get("Enter passphrase for key '/h/id': ") == "x"
    assert replies.get("root@ham0's password: ") == "x"
    assert replies.get("(root@ham0) Verification code: ") is None
    replies.forget("root@ham0's password: ")
    assert replies.get("root@ham0's password: ") is None
