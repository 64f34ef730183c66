"""How the error of a command becomes one line and an exit code."""

import os
import sys
from collections.abc import Sequence

import typer

from objectives.errors import Problem, ProblemsError, SearchError, one_line
from search.database import passwords


def abandon_output() -> None:
    """Flush what can be written, and let nothing be tried again when the interpreter ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def words_of(error: SearchError) -> str:
    """Return an error's own words; a single problem fits on the line of its subject."""
    if not isinstance(error, ProblemsError):
        return joined(str(error), 2000)
    if len(error.problems) != 1:
        return str(error)  # a line for each
    problem = error.problems[0]
    subject = one_line(error.subject)
    if problem.where in error.subject:
        return str(Problem(error.subject, problem.rule, problem.value))
    return str(problem) if error.subject in problem.where else f"{subject}: {problem}"


def say_usage(error: typer.TyperException, words: list[str]) -> int:
    """Say what is wrong with the words of a command; without any words, show what there is."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "search"
    if type(error).__name__ == "NoArgsIsHelpError" and context:
        print(context.get_help(), file=sys.stderr)
        return 2
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    return say(f"{joined(text).rstrip('.')}; see `{path} --help`", 2, words)


def joined(text: str, longest: int = 500) -> str:
    """Return a text of several lines as one."""
    return one_line(" ".join(text.split()), longest)


def say(line: str, code: int, words: Sequence[str] = ()) -> int:
    """Print what is wrong, without passwords, and return the exit code."""
    print(f"search: {scrubbed(line, words)}", file=sys.stderr)
    return code


def scrubbed(text: str, words: Sequence[str]) -> str:
    """Return the text without the passwords of the database's URL, whoever put them there."""
    for url in (
        os.environ.get(passwords.VARIABLE, ""),
        *passwords.urls_of(words),
        *(word for word in words if "@" in word or "password" in word),
    ):
        text = passwords.scrubbed(text, url)
    return text
