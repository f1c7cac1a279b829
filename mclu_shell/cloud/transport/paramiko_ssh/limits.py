"""Limits on what sshd may send; paramiko has none, and would keep all of it in memory."""

import socket
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn

import paramiko
from paramiko.common import MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA
from paramiko.packet import Packetizer

from mclu_shell.cloud.transport.budget import Budget

# OpenSSH's PACKET_MAX_SIZE.
_LONGEST_PACKET = 256 << 10
# In bytes, for all messages but the data of channels: a login takes some 10 KiB. For an upload of 100 MB/s, sshd sends
# 1,000 messages a second.
_OTHER_BYTES, _OTHER_BYTES_PER_S = 1 << 20, 128 << 10
# A message without contents takes time, too.
_MESSAGE_COST = 64
_DATA = (MSG_CHANNEL_DATA, MSG_CHANNEL_EXTENDED_DATA)


class _LimitedPacketizer(Packetizer):
    """paramiko's reader of packets. An excess ends the connection, and `excess` has the reason then."""

    def __init__(self, sock: Any) -> None:
        super().__init__(sock)
        self.excess = ""
        self._budget = Budget(_OTHER_BYTES, _OTHER_BYTES_PER_S)

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Read a part of a packet."""
        if n > _LONGEST_PACKET:
            self.refuse(f"sshd sent a packet of {n} bytes")
        return bytes(super().read_all(n, check_rekey))

    def read_message(self) -> tuple[int, paramiko.Message]:
        """Read a packet; the windows of the channels limit their data."""
        kind, message = super().read_message()
        if kind not in _DATA:
            self._spend(len(message.asbytes()))
        return kind, message

    def _read_timeout(self, timeout: float) -> bytes:
        # Reads a part of the lines before the first packet (RFC 4253, section 4.2).
        data = bytes(super()._read_timeout(timeout))  # type: ignore[misc]
        self._spend(len(data))
        return data

    def _spend(self, size: int) -> None:
        if not self._budget.spend(size + _MESSAGE_COST):
            self.refuse("sshd sent too many messages")

    def refuse(self, reason: str) -> NoReturn:
        """End the connection: the thread of paramiko's transport stops at an SSHException."""
        self.excess = reason
        raise paramiko.SSHException(reason)


class LimitedTransport(paramiko.Transport):
    """paramiko's transport with limits; its thread, which reads all messages, ends after an excess."""

    def __init__(self, sock: socket.socket) -> None:
        super().__init__(sock, packetizer_class=_LimitedPacketizer)
        handlers: dict[int, Callable[..., None]] = dict(super()._channel_handler_table)  # type: ignore[misc]
        # The thread calls these with a channel and a message.
        self._channel_handler_table = handlers | {kind: partial(self._feed, handlers[kind]) for kind in _DATA}

    @property
    def excess(self) -> str:
        """The limit that sshd has exceeded, in words; empty if none."""
        return str(self.packetizer.excess)  # type: ignore[attr-defined]

    def _feed(self, feed: Callable[[Any, Any], None], channel: Any, message: paramiko.Message) -> None:
        """Add data to a channel's buffer; unread data must fit into the window (RFC 4254, section 5.2)."""
        feed(channel, message)
        if len(channel.in_buffer) + len(channel.in_stderr_buffer) > channel.in_window_size:
            self.packetizer.refuse("sshd sent more data than a channel's window allows")  # type: ignore[attr-defined]
