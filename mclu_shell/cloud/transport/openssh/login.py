"""The login with OpenSSH: in the background without questions, or at the prompt with the questions of ssh."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mclu_shell.cloud.transport.dial import dial
from mclu_shell.cloud.transport.openssh.askpass import AskpassServer, Replies
from mclu_shell.cloud.transport.openssh.config import Target
from mclu_shell.cloud.transport.openssh.connection import OpenSSHConnection
from mclu_shell.cloud.transport.openssh.login_faults import login_fault
from mclu_shell.cloud.transport.openssh.master import MasterProcess
from mclu_shell.cloud.transport.openssh.proxy import (
    PROXY_TIMEOUT_S,
    ProxyProgress,
    is_dropped,
    jump_slot,
    pause,
    proxy_fault,
)
from mclu_shell.cloud.transport.ssh.faults import no_greeting
from mclu_shell.errors import NodeFault, Question, SSHFault, Unreachable

Asker = Callable[[Question], str | None]

# The limit for a login that has begun: a key may need a touch or a confirmation, and a login on the node may be slow.
_LOGIN_TIMEOUT_S = 15.0
_ATTEMPTS = 4
_INTERVAL_S = 0.1
# The limit for the end of a process after SIGTERM.
_STEP_S = 1.0
_BATCH = ("-o", "BatchMode=yes")


class OpenSSHLogin:
    """The logins to one node; `control` is the path of the control socket, `replies` has the user's earlier ones."""

    def __init__(self, target: Target, control: Path, replies: Replies) -> None:
        self._target = target
        self._control = control
        self._replies = replies
        # Unlike that for the banner, this message differs from that of a jump host's ssh.
        self._greeting = f"debug1: Authenticating to {target.host}:{target.port} as "

    def log_in(self, connect_timeout_s: float, greeting_timeout_s: float, *, is_on: bool) -> OpenSSHConnection:
        """Log in without questions; `is_on` if the machine has just answered. Raise NodeFault."""
        for _ in range(_ATTEMPTS - 1):
            try:
                return self._attempt(connect_timeout_s, greeting_timeout_s, is_on=is_on)
            except SSHFault as fault:
                # With a jump host, many logins go through one sshd, which may have dropped this one.
                if not (self._target.jump and is_dropped(fault.fact)):
                    raise
            pause()
        return self._attempt(connect_timeout_s, greeting_timeout_s, is_on=is_on)

    def _attempt(self, connect_timeout_s: float, greeting_timeout_s: float, *, is_on: bool) -> OpenSSHConnection:
        with jump_slot(self._target), self._answering() as environment:
            process = self._start(*(() if environment else _BATCH), environment=environment)
            try:
                if self._target.proxy:
                    _await_proxy(process, ProxyProgress(self._target))
                else:
                    self._await_greeting(process, connect_timeout_s, greeting_timeout_s, is_on=is_on)
                ready = process.wait_ready(time.monotonic() + _LOGIN_TIMEOUT_S)
            except BaseException:
                process.close()
                raise
        return self._connection(process, is_ready=ready, asks=False)

    @contextmanager
    def _answering(self) -> Iterator[dict[str, str] | None]:
        """Give ssh the user's earlier replies, and no others; yield the environment for it, None without replies."""
        if not self._replies:
            yield None
            return
        with AskpassServer(self._control.with_suffix(".ask")) as server:
            threading.Thread(target=self._answer, args=(server, lambda _question: None), daemon=True).start()
            try:
                yield server.environment
            finally:
                server.end()

    def _await_greeting(
        self, process: MasterProcess, connect_timeout_s: float, greeting_timeout_s: float, *, is_on: bool
    ) -> None:
        """Wait for sshd's banner; NodeOff if nothing answers at the address, SSHDown without a banner."""
        if not is_on and not process.wait_connected(time.monotonic() + connect_timeout_s / 3):
            # ssh alone would need minutes to find out, and one lost packet would delay it for a second.
            dial(self._target, connect_timeout_s).close()
        if not process.wait_greeted(time.monotonic() + greeting_timeout_s):
            raise no_greeting(self._target)

    def log_in_with_prompts(self, asker: Asker) -> OpenSSHConnection:
        """Log in while `asker` replies to ssh's questions, except to those that have a reply."""
        with AskpassServer(self._control.with_suffix(".ask")) as server:
            process = self._start(environment=server.environment)
            try:
                threading.Thread(target=_end_when_ready, args=(process, server), daemon=True).start()
                self._answer(server, asker)
            except BaseException:
                process.close()
                raise
        return self._connection(process, is_ready=process.is_alive, asks=True)

    def _answer(self, server: AskpassServer, asker: Asker) -> None:
        used: set[str] = set()
        for request in server:
            with server.answering(), closing(request.connection):
                reply = None if request.prompt in used else self._replies.get(request.prompt)
                if reply is None:
                    # A prompt that comes again was answered wrongly.
                    self._replies.forget(request.prompt)
                    reply = asker(request.question)
                    if reply is not None:
                        self._replies.keep(request.prompt, reply)
                used.add(request.prompt)
                request.reply(reply)

    def _start(self, *options: str, environment: "dict[str, str] | None" = None) -> MasterProcess:
        try:
            if self._target.jump:
                # A user's own ProxyCommand is left to ssh, which expands its tokens.
                command = self._target.jump_command(*options).replace("%", "%%")
                options = (*options, "-o", f"ProxyCommand={command}")
            words = (*options, *self._target.words)
            return MasterProcess(words, self._control, self._greeting, environment)
        except OSError as error:
            fact = f"cannot run ssh: {error.strerror}"
            raise Unreachable(
                fact, place=self._target.node, remedy="install the OpenSSH client and util-linux"
            ) from error

    def _connection(self, process: MasterProcess, *, is_ready: bool, asks: bool) -> OpenSSHConnection:
        if is_ready:
            return OpenSSHConnection(self._target, process)
        has_ended = process.has_ended
        process.close()
        if not has_ended and self._greeting in process.messages:
            fact = f"ssh: no login in {_LOGIN_TIMEOUT_S:g} s"
            raise SSHFault(fact, place=self._target.node, remedy=f"run {self._target.login}")
        raise self._fault(process.messages, asks=asks)

    def _fault(self, messages: str, *, asks: bool) -> NodeFault:
        if self._target.proxy and self._greeting not in messages:
            return proxy_fault(self._target, messages)
        return login_fault(self._target, messages, asks=asks)


def _await_proxy(process: MasterProcess, progress: ProxyProgress) -> None:
    """Wait for sshd's banner through a proxy; end the process if it does not come in time."""
    while not process.wait_greeted(time.monotonic() + _INTERVAL_S):
        progress.update(process.messages)
        if time.monotonic() >= progress.deadline:
            process.close()
            process.wait_ended(_STEP_S)
            return


def _end_when_ready(process: MasterProcess, server: AskpassServer) -> None:
    if process.wait_greeted(time.monotonic() + PROXY_TIMEOUT_S):
        while not process.has_ended and server.idle_s() < _LOGIN_TIMEOUT_S:
            if process.wait_ready(time.monotonic() + _STEP_S):
                break
    if not process.is_alive:
        process.close()
    server.end()
