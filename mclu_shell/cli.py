"""The entry point: runs the interactive shell, one command, -c lines, or a script."""

import argparse
import contextlib
import gc
import os
import resource
import signal
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from types import FrameType
from typing import TYPE_CHECKING, NoReturn

from mclu_shell.errors import ConfigError, MCluError, UsageError
from mclu_shell.global_options import global_parser
from mclu_shell.signals import ENDING, interrupt_status, is_output_broken, is_put_off, is_within, raise_for
from mclu_shell.system_faults import system_fault
from mclu_shell.user_paths import is_missing

if TYPE_CHECKING:
    from pathlib import Path

    from mclu_shell.cloud.cloud import Cloud
    from mclu_shell.config import Config
    from mclu_shell.errors import Question
    from mclu_shell.output.text_renderer import Renderer
    from mclu_shell.session.session import Session

_MAX_FILES = 16384


def main(argv: list[str] | None = None) -> int:
    """Run mclu; return the exit status."""
    with contextlib.ExitStack() as leaving:
        try:
            return _work(sys.argv[1:] if argv is None else argv, leaving)
        except KeyboardInterrupt as interrupt:
            return interrupt_status(interrupt)


def _work(words: Sequence[str], leaving: contextlib.ExitStack) -> int:
    """Do what the arguments say; a signal ends it, and `leaving` then closes the session."""
    # Connections and sockets must also be closed after kill, and after the terminal was closed.
    for number in ENDING:
        # nohup ignores SIGHUP, for example.
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)
    options = argparse.Namespace()
    try:
        if words[:1] == ["--complete"]:
            return _complete(words[1:])
        # The renderer of an error needs the options before it, so they are stored as they are parsed.
        global_parser().parse(words, options)
        has_work = options.words or options.lines or options.check or options.install_completion is not None
        options.is_shell = not has_work and sys.stdin.isatty()
        session = _session(options)
        leaving.callback(_leave, session)
        return _run(options, session)
    except MCluError as error:
        _renderer(options).error(error)
        return error.status
    except (OSError, UnicodeError, ImportError) as error:
        if (fault := system_fault(error)) is None:
            raise
        _renderer(options).error(fault)
        # asyncio prints a traceback for an event loop that is only half open.
        sys.unraisablehook = lambda _error: None
        return fault.status


def _complete(words: Sequence[str]) -> int:
    """Print the candidates for completion in the user's own shell, which runs `mclu --complete`."""
    from mclu_shell.shell_completion.protocol import complete_for_shell

    # An error would be printed into the command line that the user edits.
    with contextlib.suppress(MCluError, OSError, UnicodeError, ImportError):
        sys.stdout.write(complete_for_shell(words, global_parser().arguments))
    return 0


def _end(number: int, frame: FrameType | None) -> None:
    # Outside of _work, mclu is leaving; an exception would prevent it from closing connections.
    if is_put_off(number, frame) or not is_within(frame, _work.__code__):
        return
    raise_for(number)


def _leave(session: "Session") -> None:
    """Flush the output and close connections; errors of earlier output have been printed by now."""
    # A second Ctrl-C may have interrupted the first one's cleanup, with the cursor still hidden. A closed terminal must
    # not prevent the closing of connections.
    with contextlib.suppress(OSError):
        session.renderer.end_progress()
    try:
        if is_output_broken():
            raise BlockingIOError
        sys.stdout.flush()
    except OSError:
        # Python flushes again at its end, and would block or print an error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    session.close()


def _session(options: argparse.Namespace) -> "Session":
    from mclu_shell.session.session import Session

    if options.verbose:
        _log_to_stderr()
    session = Session(
        lambda: _cloud(options),
        _renderer(options),
        lambda: _config_to_write(options),
        keep_going=options.keep_going,
        verbose=options.verbose,
        is_dry=options.dry_run,
    )
    if sys.stdin.isatty() and sys.stderr.isatty():
        # The session asks nothing in scripts. The interactive shell replaces these by prompts of its own.
        session.interaction = session.interaction._replace(
            confirm=lambda question: _confirm(session, question), ask=lambda question: _ask(session, question)
        )
    return session


def _confirm(session: "Session", question: str) -> bool:
    # Few commands ask.
    from mclu_shell.session.terminal_prompt import confirm

    session.renderer.end_progress()
    return confirm(question)


def _ask(session: "Session", question: "Question") -> str | None:
    from mclu_shell.session.terminal_prompt import ask

    session.renderer.end_progress()
    return ask(question)


def _renderer(options: argparse.Namespace) -> "Renderer":
    if options.output == "json":
        from mclu_shell.output.json_renderer import JSONRenderer

        return JSONRenderer(color=_color(options.color))
    from mclu_shell.output.text_renderer import Renderer

    return Renderer(color=_color(options.color))


def _color(option: str) -> str:
    # https://no-color.org: any value except an empty one. --color takes precedence.
    return "never" if option == "auto" and os.environ.get("NO_COLOR") else option


def _log_to_stderr() -> None:
    import logging

    logging.basicConfig(format="mclu: debug: %(message)s", level=logging.WARNING)
    logging.getLogger("mclu_shell").setLevel(logging.DEBUG)


def _config(options: argparse.Namespace) -> "Config":
    from mclu_shell.config import demo_config, find_config, load_config

    return demo_config() if options.demo else load_config(find_config(options.config_file))


def _config_to_write(options: argparse.Namespace) -> "Path | None":
    from mclu_shell.config import config_to_write

    return None if options.demo else config_to_write(options.config_file)


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

        # The message is text, also with `-o json`.
        name = options.install_completion
        Renderer().show(install("" if name is True else name))
        return 0
    if options.lines:
        if options.check:
            raise UsageError("--check needs a script", remedy="run 'mclu --check FILE.mclu'")
        if options.words:
            raise UsageError(f"use either -c or a command, not both: {options.words[0]!r}")
        return session.run_text(*options.lines)
    if options.is_shell:
        return _run_shell(options, session)
    first, *rest = options.words or ["-"]
    # A word with a slash is the path of a script, with any suffix: no command has a slash in its name.
    if options.check or first == "-" or first.endswith(".mclu") or "/" in first:
        from mclu_shell.language.script import read_script

        script = read_script(first, rest)
        return session.check_script(script) if options.check else session.run_script(script)
    return session.run_words(options.words)


def _run_shell(options: argparse.Namespace, session: "Session") -> int:
    # Print an error in the configuration before the slow import of the shell's libraries.
    try:
        nodes = _config(options).nodes
    except ConfigError as error:
        if not _is_config_missing(session):
            raise
        if status := _offer_init(error, session):
            return status
        nodes = _config(options).nodes
    from mclu_shell.shell.app import run_shell

    gc.freeze()
    gc.enable()
    _allow_many_files()
    return run_shell(session, len(nodes))


def _is_config_missing(session: "Session") -> bool:
    path = session.find_config()
    return path is not None and is_missing(path)


def _offer_init(missing: ConfigError, session: "Session") -> int:
    """Offer to write the configuration; return 0 if it was written. Without a user to ask, raise the error."""
    confirm = session.interaction.confirm
    if confirm is None or session.is_dry:
        raise missing
    session.renderer.error(missing)
    if not confirm("Find your nodes and write it now?"):
        return missing.status
    status = session.run_words(["init"])
    return status or (missing.status if _is_config_missing(session) else 0)


def _allow_many_files() -> None:
    """Raise the limit of open files: each connected node takes about five, and the usual limit is 1024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    limit = _MAX_FILES if hard == resource.RLIM_INFINITY else min(hard, _MAX_FILES)
    if soft < limit:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))


def _open_streams() -> None:
    """Open standard streams that the caller has closed, so that no socket gets their descriptors."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            # Opened for reading, so that writing there fails as it does on a closed stream.
            os.dup2(os.open(os.devnull, os.O_RDONLY), number)
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # Names may have characters that the terminal's encoding lacks.
            stream.reconfigure(errors="backslashreplace")


def run() -> NoReturn:
    """Run the program, and end the process at once."""
    # Garbage collection takes a tenth of a single command's time, and frees nothing: the imported modules stay.
    gc.disable()
    try:
        _open_streams()
        status = main()
    except SystemExit as exit_:  # --help or --version.
        status = int(exit_.code or 0)
    except KeyboardInterrupt as interrupt:  # Before or after the work of `main`.
        status = interrupt_status(interrupt)
    except OSError as error:  # The same.
        status = 1
        with contextlib.suppress(OSError):
            sys.stderr.write(f"mclu: {system_fault(error)}".replace("\n", " ") + "\n")
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    # Everything is closed by now, but an interrupted command may leave daemon threads that wait for a node. Finalizing
    # the interpreter under them takes 50 ms and makes libvirt's destructors print errors.
    os._exit(status)


if __name__ == "__main__":
    run()
