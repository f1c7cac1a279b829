"""What could stand behind `mclu` in the user's own shell: from the snapshot that is kept, without asking a node."""

import argparse
import os
from collections.abc import Iterable, Sequence

from mclu_shell import command_loader
from mclu_shell.argtypes.completers import files, truncate
from mclu_shell.argtypes.types import Candidate, CompletionContext
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase, Snapshot
from mclu_shell.completion import complete, complete_words
from mclu_shell.config import Config, demo_config, find_config, load_config
from mclu_shell.errors import MCluError

_NOTHING = Snapshot(())


class _GlobalOptions:
    """mclu's own options, by their `dest`, and what stands behind them."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        # The option whose value the next word is.
        self.waiting: argparse.Action | None = None
        self.takes_options = True
        self.rest: tuple[str, ...] = ()


def complete_oneshot(words: Sequence[str], word: str, options: Sequence[argparse.Action]) -> Sequence[Candidate]:
    """The candidates for a word, by those between `mclu` and it; none of them is quoted."""
    given = _read(words, options)
    if given.rest and not _is_script(given):
        return complete_words(given.rest, word, _snapshot(given))
    context = CompletionContext(_NOTHING, word)
    found = _found(given, context, options) or _found(given, context._replace(any_case=True), options)
    return truncate(found, lambda one: one.text)


def _read(words: Sequence[str], options: Sequence[argparse.Action]) -> _GlobalOptions:
    known = {name: action for action in options for name in action.option_strings}
    given = _GlobalOptions()
    for at, word in enumerate(words):
        if given.waiting is not None:
            given.values[given.waiting.dest] = word
            given.waiting = None
        elif not word.startswith("-") or word == "-" or not given.takes_options:
            given.rest = tuple(words[at:])
            break
        elif word == "--":
            given.takes_options = False
        else:
            name, equals, value = word.partition("=")
            if (action := known.get(name)) is not None:
                given.values[action.dest] = value
                given.waiting = action if action.nargs is None and not equals else None
    return given


def _is_script(given: _GlobalOptions) -> bool:
    """Whether what stands first is a script, as `cli` decides it."""
    first = given.rest[0]
    return "check" in given.values or first == "-" or first.endswith(".mclu") or "/" in first


def _found(given: _GlobalOptions, context: CompletionContext, options: Sequence[argparse.Action]) -> list[Candidate]:
    return [one for one in _candidates(given, context, options) if context.fits(one.text)]


def _candidates(
    given: _GlobalOptions, context: CompletionContext, options: Sequence[argparse.Action]
) -> Iterable[Candidate]:
    if given.waiting is not None:
        return _values(given.waiting, given, context)
    if given.rest:
        return files(context)
    if context.word.startswith("-") and given.takes_options:
        return _options(given, context, options)
    if "lines" in given.values:
        return ()
    return [*_scripts(context), *(() if "check" in given.values else _commands(context))]


def _commands(context: CompletionContext) -> list[Candidate]:
    known = {name: command_loader.outline(name) for name in command_loader.command_names() if context.fits(name)}
    return [Candidate(name, outline.summary) for name, outline in known.items() if not outline.needs_prompt]


def _scripts(context: CompletionContext) -> list[Candidate]:
    """Scripts; directories, in which there may be some, where a path is begun, or nothing else is meant."""
    found = list(files(context, ".mclu"))
    is_path = "/" in context.word or context.word[:1] in (".", "~")
    return [one for one in found if one.is_complete or is_path]


def _options(
    given: _GlobalOptions, context: CompletionContext, options: Sequence[argparse.Action]
) -> Iterable[Candidate]:
    name, equals, value = context.word.partition("=")
    for action in options:
        if equals and name in action.option_strings:
            for found in _values(action, given, context._replace(word=value)):
                yield found._replace(text=f"{name}={found.text}", display=found.display or found.text)
        elif not equals and action.option_strings and (action.dest not in given.values or action.dest == "lines"):
            yield Candidate(action.option_strings[-1], action.help or "")


def _values(action: argparse.Action, given: _GlobalOptions, context: CompletionContext) -> Iterable[Candidate]:
    """What an option can have: a word of some, a file, or a line of the language."""
    if action.choices is not None:
        return [Candidate(choice) for choice in action.choices if choice]
    if action.dest == "lines":
        line = complete(context.word, _snapshot(given))
        begun = context.word[: line.start]
        return [one._replace(text=begun + one.text, display=one.display or one.text) for one in line.candidates]
    return files(context) if action.metavar == "FILE" else ()


def _snapshot(given: _GlobalOptions) -> Snapshot:
    """The nodes of the configuration, with what is kept of them."""
    from mclu_shell.cloud.state.disk_cache import cache_file, load

    try:
        config = _config(given)
    except MCluError:
        # What is wrong with it is told where the line is run.
        return _NOTHING
    known = {} if "demo" in given.values else {view.name: view for view in load(cache_file(config))}
    unseen = NodeState(Phase.UNSEEN, 0.0)
    return Snapshot(tuple(known.get(node.name, NodeView(node.name, unseen)) for node in config.nodes))


def _config(given: _GlobalOptions) -> Config:
    if "demo" in given.values:
        return demo_config()
    named = given.values.get("config_file")
    # The shell would have read these when the line is run.
    return load_config(find_config(named and os.path.expandvars(os.path.expanduser(named))))  # noqa: PTH111
