"""argv to the right door: the interactive shell, one command, -c lines, or a script."""

import argparse
import contextlib
import gc
import os
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from mclu_shell.errors import MCluError, UsageError
from mclu_shell.global_options import global_parser
from mclu_shell.signals import ENDING, handled, is_put_off

if TYPE_CHECKING:
    from mclu_shell.cloud.cloud import Cloud
    from mclu_shell.config import Config
    from mclu_shell.output.text_renderer import Renderer
    from mclu_shell.session.session import Session

_MOST_FILES = 16384


def main(argv: list[str] | None = None) -> int:
    """Run mclu; the exit status."""
    session: Session | None = None
    options = argparse.Namespace()
    # A caller that goes away (kill, a closed terminal) must still find connections and sockets taken back.
    for number in ENDING:
        # nohup, for one, has it ignored.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    try:
        words = sys.argv[1:] if argv is None else argv
        if words[:1] == ["--complete"]:
            return _complete(words[1:])
        # What is right before the first mistake counts, too.
        global_parser().parse(words, options)
        has_work = options.words or options.lines or options.check or options.install_completion is not None
        options.is_shell = not has_work and sys.stdin.isatty()
        session = _session(options)
        return _run(options, session)
    except MCluError as error:
        _renderer(options).error(error)
        return error.status
    except KeyboardInterrupt:
        return 130
    finally:
        # A second Ctrl-C would end nothing sooner, but leave sockets behind.
        with handled(ENDING, signal.SIG_IGN):
            _leave(session)


def _complete(words: Sequence[str]) -> int:
    """Answer the user's own shell, where Tab was pressed; a hidden entry, which its completion calls."""
    from mclu_shell.shell_completion.protocol import answer

    sys.stdout.write(answer(words, global_parser().arguments))
    return 0


def _end(number: int, frame: FrameType | None) -> None:
    if is_put_off(number, frame):
        return
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    raise SystemExit(128 + number)


def _leave(session: "Session | None") -> None:
    """Flush what is written and give up connections; what could not be written has been told by now."""
    if session is None:
        return
    # A second Ctrl-C may have come in before it was through, and the terminal be without a cursor.
    # Nor may a terminal that has gone keep us from giving up connections.
    with contextlib.suppress(OSError):
        session.renderer.end_progress()
    try:
        sys.stdout.flush()
    except OSError:
        # Python flushes once more at its end, and would complain then.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    session.close()


def _session(options: argparse.Namespace) -> "Session":
    from mclu_shell.session.session import Session

    if options.verbose:
        _log_to_stderr()
    return Session(
        lambda: _cloud(options),
        _renderer(options),
        keep_going=options.keep_going,
        verbose=options.verbose,
        is_dry=options.dry_run,
    )


def _renderer(options: argparse.Namespace) -> "Renderer":
    if options.output == "json":
        from mclu_shell.output.json_renderer import JSONRenderer

        return JSONRenderer(color=_color(options.color))
    from mclu_shell.output.text_renderer import Renderer

    return Renderer(color=_color(options.color))


def _color(wanted: str) -> str:
    # https://no-color.org: any value but the empty one; the option says it more plainly.
    return "never" if wanted == "auto" and os.environ.get("NO_COLOR") else wanted


def _log_to_stderr() -> None:
    import logging

    logging.basicConfig(format="mclu: debug: %(message)s", level=logging.WARNING)
    logging.getLogger("mclu_shell").setLevel(logging.DEBUG)


def _config(options: argparse.Namespace) -> "Config":
    from mclu_shell.config import demo_config, find_config, load_config

    return demo_config() if options.demo else load_config(find_config(options.config_file))


def _cloud(options: argparse.Namespace) -> "Cloud":
    from mclu_shell.cloud.open import open_cloud

    if options.demo:
        from mclu_shell.cloud.open import demo_nodes

        return open_cloud(_config(options), demo_nodes)
    cloud = open_cloud(_config(options), borrow=not options.is_shell)
    if options.is_shell:
        cloud.load_cache()
    return cloud


def _run(options: argparse.Namespace, session: "Session") -> int:
    if options.install_completion is not None:
        from mclu_shell.output.text_renderer import Renderer
        from mclu_shell.shell_completion.install import install

        # It is told to a person, also with `-o json`.
        Renderer().show(install(options.install_completion))
        return 0
    if options.lines:
        if options.check:
            raise UsageError("--check is for a script")
        if options.words:
            raise UsageError(f"use either -c or a command, not both: {options.words[0]!r}")
        return session.run_text(*options.lines)
    if options.is_shell:
        return _run_shell(options, session)
    first, *rest = options.words or ["-"]
    # No command has a slash in its name, and an executable script is called by its path, whatever its name.
    if options.check or first == "-" or first.endswith(".mclu") or "/" in first:
        from mclu_shell.language.script import read_script

        script = read_script(first, rest)
        return session.check_script(script) if options.check else session.run_script(script)
    return session.run_words(options.words)


def _run_shell(options: argparse.Namespace, session: "Session") -> int:
    # A configuration that is wrong is told before there is a prompt; and before the shell's libraries, which take long.
    nodes = _config(options).nodes
    from mclu_shell.shell.app import run_shell

    gc.freeze()
    gc.enable()
    _allow_many_files()
    return run_shell(session, len(nodes))


def _allow_many_files() -> None:
    """Each node that is kept connected takes some five descriptors; the usual limit would end at two hundred nodes."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _open_streams() -> None:
    """Open standard streams that the caller has closed, lest a socket of ours takes their place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Opened for reading, so that writing an answer there fails, as it should.
            os.dup2(os.open(os.devnull, os.O_RDONLY), number)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A name that the terminal's encoding does not have is no reason to say nothing.
            stream.reconfigure(errors="backslashreplace")


def run() -> NoReturn:
    """The program: main, and then out, at once."""
    # What is imported stays: looking through it for garbage again and again costs a tenth of a one-shot's time.
    gc.disable()
    _open_streams()
    try:
        status = main()
    except SystemExit as ended:  # --help, --version, or a signal.
        status = int(ended.code or 0)
    except KeyboardInterrupt:  # Before anything was begun, or after it was ended.
        status = 130
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    # All is closed and removed by now. What an interrupted command left waiting on a node are daemon threads;
    # taking the interpreter apart under them costs 50 ms and makes libvirt's destructors complain.
    os._exit(status)


if __name__ == "__main__":
    run()
