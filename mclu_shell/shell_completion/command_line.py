"""Completion of mclu's command line, from the cached snapshot; it queries no node."""

import argparse
import os
from collections.abc import Iterable, Sequence

from mclu_shell import command_loader
from mclu_shell.argtypes.completers import files, truncate
from mclu_shell.argtypes.types import Candidate, CompletionContext
from mclu_shell.cloud.state.disk_cache import cache_file, load
from mclu_shell.cloud.state.snapshot import NodeState, NodeView, Phase, Snapshot
from mclu_shell.completion import complete, complete_words
from mclu_shell.config import Config, demo_config, find_config, load_config
from mclu_shell.errors import MCluError
from mclu_shell.user_paths import expand_home

_EMPTY = Snapshot(())


class _GlobalWords:
    """The global options of a command line by their `dest`, and the words after them."""

    def __init__(self) -> None:
        self.values: dict[str, str] = {}
        # The option whose value comes next.
        self.pending: argparse.Action | None = None
        self.takes_options = True
        self.rest: tuple[str, ...] = ()


def complete_command_line(words: Sequence[str], word: str, options: Sequence[argparse.Action]) -> Sequence[Candidate]:
    """Return the candidates for a word, without quotes; `words` are those between `mclu` and it."""
    parsed = _parse(words, options)
    if parsed.rest and not _is_script(parsed):
        return complete_words(parsed.rest, word, _snapshot(parsed))
    context = CompletionContext(_EMPTY, word)
    matches = _matches(parsed, context, options) or _matches(parsed, context._replace(any_case=True), options)
    return truncate(matches, lambda candidate: candidate.text)


def _parse(words: Sequence[str], options: Sequence[argparse.Action]) -> _GlobalWords:
    actions = {name: action for action in options for name in action.option_strings}
    parsed = _GlobalWords()
    for at, word in enumerate(words):
        if parsed.pending is not None:
            parsed.values[parsed.pending.dest] = word
            parsed.pending = None
        elif not word.startswith("-") or word == "-" or not parsed.takes_options:
            parsed.rest = tuple(words[at:])
            break
        elif word == "--":
            parsed.takes_options = False
        else:
            name, equals, value = word.partition("=")
            if (action := actions.get(name)) is not None:
                parsed.values[action.dest] = value
                parsed.pending = action if action.nargs is None and not equals else None
    return parsed


def _is_script(parsed: _GlobalWords) -> bool:
    """Return True if the first word is a script, by the same rule as in `cli`."""
    first = parsed.rest[0]
    return "check" in parsed.values or first == "-" or first.endswith(".mclu") or "/" in first


def _matches(parsed: _GlobalWords, context: CompletionContext, options: Sequence[argparse.Action]) -> list[Candidate]:
    return [one for one in _candidates(parsed, context, options) if context.fits(one.text)]


def _candidates(
    parsed: _GlobalWords, context: CompletionContext, options: Sequence[argparse.Action]
) -> Iterable[Candidate]:
    if parsed.pending is not None:
        return _values(parsed.pending, parsed, context)
    if parsed.rest:
        return files(context)
    if context.word.startswith("-") and parsed.takes_options:
        return _options(parsed, context, options)
    if "lines" in parsed.values:
        return ()
    return [*_scripts(context), *(() if "check" in parsed.values else _commands(context))]


def _commands(context: CompletionContext) -> list[Candidate]:
    outlines = {name: command_loader.outline(name) for name in command_loader.command_names() if context.fits(name)}
    return [Candidate(name, outline.summary) for name, outline in outlines.items() if not outline.needs_prompt]


def _scripts(context: CompletionContext) -> list[Candidate]:
    """Return scripts, and directories only if a path is being typed: they would hide the commands."""
    candidates = list(files(context, ".mclu"))
    is_path = "/" in context.word or context.word[:1] in (".", "~")
    return [one for one in candidates if one.is_complete or is_path]


def _options(
    parsed: _GlobalWords, context: CompletionContext, options: Sequence[argparse.Action]
) -> Iterable[Candidate]:
    name, equals, value = context.word.partition("=")
    for action in options:
        if equals and name in action.option_strings:
            for candidate in _values(action, parsed, context._replace(word=value)):
                display = candidate.display or candidate.text
                yield candidate._replace(text=f"{name}={candidate.text}", display=display)
        elif not equals and action.option_strings and (action.dest not in parsed.values or action.dest == "lines"):
            yield Candidate(action.option_strings[-1], action.help or "")


def _values(action: argparse.Action, parsed: _GlobalWords, context: CompletionContext) -> Iterable[Candidate]:
    """Return the candidates for an option's value: its choices, files, or for `-c` a line of commands."""
    if action.choices is not None:
        return [Candidate(choice) for choice in action.choices]
    if action.dest == "lines":
        completions = complete(context.word, _snapshot(parsed))
        start = context.word[: completions.start]
        return [one._replace(text=start + one.text, display=one.display or one.text) for one in completions.candidates]
    return files(context) if action.metavar == "FILE" else ()


def _snapshot(parsed: _GlobalWords) -> Snapshot:
    """Return the nodes of the configuration with their cached state; empty if the configuration is wrong."""
    try:
        config = _config(parsed)
    except MCluError:
        # The command reports the error when it runs.
        return _EMPTY
    cached = {} if "demo" in parsed.values else {view.name: view for view in load(cache_file(config))}
    unseen = NodeState(Phase.UNSEEN, 0.0)
    return Snapshot(tuple(cached.get(node.name, NodeView(node.name, unseen)) for node in config.nodes))


def _config(parsed: _GlobalWords) -> Config:
    if "demo" in parsed.values:
        return demo_config()
    path = parsed.values.get("config_file")
    # The shell expands `~` and variables only when the line runs.
    return load_config(find_config(path and os.path.expandvars(expand_home(path))))
