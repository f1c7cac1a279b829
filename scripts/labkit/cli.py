"""The command line of `lab`."""

import argparse
import os
import sys
from collections.abc import Callable
from typing import NoReturn

from labkit import enter, state_dir
from labkit.errors import LabError


def main(arguments: list[str]) -> int:
    """Run one command; return its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (LabError, OSError) as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="lab", description="Run real nodes on one machine: sshd, libvirtd and QEMU on a LAN, with Wake-on-LAN."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, function: object, text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text)
        command.add_argument("--name", metavar="X", default="lab", help="name of the lab (default: lab)")
        command.set_defaults(run=function, verb=name)
        return command

    up = add("up", _up, "make a lab; return when its nodes answer")
    up.add_argument("count", metavar="N", type=int, help="number of nodes: ham0, ham1, …")
    up.add_argument("--on", metavar="K", type=int, help="number of nodes that are on (default: all)")
    up.add_argument("--parent", metavar="PID", type=int, help="end the lab when this process ends")
    add("down", _down, "end a lab")
    add("list", _list, "list the nodes, on or off (default: of all labs)").set_defaults(name="")
    add("config", _config, "print an mclu.conf for the lab")
    add("path", _path, "print the state directory of the lab")
    add("can", _can, "check if a lab can run here")
    _add_node_commands(add)
    execute = add("exec", _exec, "run a command as the operator on the LAN, or in a node")
    execute.add_argument("--node", help="run it in this node")
    execute.add_argument("command", metavar="CMD", nargs=argparse.REMAINDER)
    shell = add("shell", _shell, "open a shell on the LAN, or in a node")
    shell.add_argument("node", metavar="NODE", nargs="?")
    return parser


def _add_node_commands(add: Callable[[str, object, str], argparse.ArgumentParser]) -> None:
    for verb, text in (
        ("on", "switch nodes on; return when they answer"),
        ("off", "cut the power of nodes"),
        ("freeze", "stop all processes of nodes; the kernel still accepts connections"),
        ("thaw", "continue frozen nodes"),
        ("rekey", "give nodes new SSH host keys"),
        ("forget", "remove nodes from the operator's known_hosts"),
        ("remember", "write the current keys of nodes to the operator's known_hosts"),
    ):
        command = add(verb, _request, text)
        command.add_argument("nodes", metavar="NODE", nargs="+")
        command.set_defaults(packets=0, libvirtd=False)
        if verb in ("freeze", "thaw"):
            command.add_argument("--libvirtd", action="store_true", help="only libvirtd")
    wait = add("wait", _wait, "wait until nodes are on and answer, or are off")
    wait.add_argument("state", choices=["on", "off"])
    wait.add_argument("nodes", metavar="NODE", nargs="+")
    wait.add_argument("--timeout", metavar="SECONDS", type=float, default=30)
    lose = add("lose", _lose, "drop the next packets to a node that would open a TCP connection")
    lose.add_argument("node", metavar="NODE")
    lose.add_argument(
        "packets", metavar="PACKETS", type=int, nargs="?", default=1, help="number (default: 1; 0 stops it)"
    )


def _up(options: argparse.Namespace) -> int:
    from labkit import lan, launch, requirements

    on = options.count if options.on is None else options.on
    if not (1 <= options.count <= lan.MOST_NODES and 0 <= on <= options.count):
        print(f"lab: N is 1 to {lan.MOST_NODES}, and --on 0 to N", file=sys.stderr)
        return 2
    requirements.check()
    launch.up(state_dir.named(options.name), options.count, on, options.parent)
    return 0


def _down(options: argparse.Namespace) -> int:
    from labkit import launch

    launch.down(state_dir.named(options.name))
    return 0


def _list(options: argparse.Namespace) -> int:
    state_dir.sweep()
    labs = [state_dir.named(options.name)] if options.name else state_dir.living()
    for lab in labs:
        state_dir.inner_pid(lab)
        if len(labs) > 1:
            print(f"{lab.name}:")
        for name, _, words in state_dir.node_states(lab):
            print(name, words)
    if not labs:
        print("no lab is up")
    return 0


def _config(options: argparse.Namespace) -> int:
    lab = state_dir.named(options.name)
    state_dir.inner_pid(lab)
    print(lab.config.read_text(), end="")
    return 0


def _path(options: argparse.Namespace) -> int:
    lab = state_dir.named(options.name)
    state_dir.inner_pid(lab)
    print(lab.path)
    return 0


def _can(_: argparse.Namespace) -> int:
    from labkit import requirements

    requirements.check()
    return 0


def _request(options: argparse.Namespace) -> int:
    from labkit import client

    values = {"libvirtd": int(options.libvirtd), "packets": options.packets}
    client.send(state_dir.named(options.name), options.verb, options.nodes, values)
    return 0


def _lose(options: argparse.Namespace) -> int:
    options.nodes, options.libvirtd = [options.node], False
    return _request(options)


def _wait(options: argparse.Namespace) -> int:
    from labkit import client

    try:
        lab = state_dir.named(options.name)
        client.send(lab, "wait", options.nodes, {"on": int(options.state == "on")}, options.timeout)
    except TimeoutError:
        raise LabError(f"{', '.join(options.nodes)}: not {options.state} after {options.timeout:g} s") from None
    return 0


def _exec(options: argparse.Namespace) -> NoReturn:
    command = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not command:
        print("lab: exec: no command given", file=sys.stderr)
        sys.exit(2)
    enter.run(state_dir.named(options.name), command, options.node)


def _shell(options: argparse.Namespace) -> NoReturn:
    os.environ.pop("PS1", None)
    enter.run(state_dir.named(options.name), ["bash"], options.node)
