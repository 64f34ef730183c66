"""The command line. Commands import what they need when they run, so that ``search --help`` answers at once."""

import io
import os
import signal
import sys
import time
import traceback
from types import FrameType

import typer

from objectives.errors import ProblemsError, SearchError
from search.commands import control, data, model, recipes, service, space, study

app = typer.Typer(
    name="search",
    help="Hyperparameter search for semantic segmentation: many workers, one database, one model you can use.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help: importing rich takes longer than all the rest
    context_settings={"max_content_width": 100},
)
for part in (study, control, model, service):
    part.register(app)
app.add_typer(data.app, name="data")
app.add_typer(space.app, name="space")
app.add_typer(recipes.app, name="recipes")


def run() -> None:
    """Run one command; whatever a user can mend or wait for ends in one line, never in a traceback."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    os.environ["TZ"] = "UTC"  # Optuna writes local times, which workers in several time zones would mix
    time.tzset()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # under nohup SIGHUP is ignored, and stays so
            signal.signal(number, _exit)
    sys.exit(answer(sys.argv[1:]))


def answer(words: list[str]) -> int:
    """Run the command that the words name; returns the exit code: 2 for the user's mistake, 1 for the world's."""
    try:
        code = app(words, prog_name="search", standalone_mode=False) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # `search status | head -1`: nobody wants to read on
        _abandon_output()
        return 141
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except SearchError as error:
        return _say(_words(error), error.exit_code)
    except typer.TyperException as error:
        return _say_usage(error)
    except OSError as error:
        _abandon_output()
        place = f"{error.filename}: " if error.filename else ""
        return _say(f"{place}{error.strerror or error}; make room, or choose a place that can be read and written", 1)
    except MemoryError:
        return _say("there is not enough memory for this; see `search doctor`", 1)
    except Exception as error:  # our own mistake: a line for the user, the rest for whoever asks
        if os.environ.get("SEARCH_TRACEBACK"):
            traceback.print_exc()
        return _say(f"unexpected {_one_line(f'{type(error).__name__}: {error}')} (SEARCH_TRACEBACK=1 shows where)", 1)
    return int(code)


def _abandon_output() -> None:
    """Flush what can be written, and let nothing be tried again when the interpreter ends."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _exit(number: int, frame: FrameType | None) -> None:
    signal.signal(number, signal.SIG_IGN)  # the way out, where workers and databases are stopped, is walked once
    raise SystemExit(128 + number)


def _words(error: SearchError) -> str:
    """An error's own words; a single problem fits on the line of its subject."""
    if not isinstance(error, ProblemsError) or len(error.problems) != 1:
        return str(error)
    problem = error.problems[0]
    if problem.where in error.subject:
        return f"{error.subject}: {problem.rule}, got {problem.value}"
    return str(problem) if error.subject in problem.where else f"{error.subject}: {problem}"


def _say_usage(error: typer.TyperException) -> int:
    """Say what is wrong with the words of a command; without any words, show what there is."""
    context = getattr(error, "ctx", None)
    path = context.command_path if context else "search"
    if type(error).__name__ == "NoArgsIsHelpError" and context:
        print(context.get_help(), file=sys.stderr)
        return 2
    text = error.format_message() if hasattr(error, "format_message") else str(error)
    return _say(f"{_one_line(text).rstrip('.')}; see `{path} --help`", 2)


def _one_line(text: str) -> str:
    return " ".join(text.split())[:500]


def _say(line: str, code: int) -> int:
    print(f"search: {line}", file=sys.stderr)
    return code
