"""The command line: the table of all commands, and how the error of one becomes one line and an
exit code.
"""

import io
import os
import signal
import sys
import time
import traceback
from types import FrameType

import typer

from objectives.errors import SearchError, one_line
from search.cli.saying import abandon_output, joined, say, say_usage, scrubbed, words_of
from search.cli.table import Entry, group
from search.database import passwords

COMMANDS = {
    "init": Entry(
        "Check data and space, and write the study. With equal arguments again: nothing happens.",
        "search.cli.commands.init",
    ),
    "plan": Entry(
        "Say before a study is begun what its budget buys, from a few steps of training on this "
        "machine.",
        "search.cli.commands.plan",
    ),
    "worker": Entry(
        "Pull trials until every trial of the budget has ended. SIGTERM or Ctrl-C: leave; the "
        "trial goes on elsewhere.",
        "search.cli.commands.worker",
    ),
    "run": Entry(
        "Init, local workers and live progress in one terminal. Interrupted, the same command goes "
        "on where it stood.",
        "search.cli.commands.run",
    ),
    "status": Entry(
        "Budget, trials by state, the best so far with per-class IoU, and the workers.",
        "search.cli.commands.status",
    ),
    "stop": Entry(
        "End a study now: running trials are left after the epoch at hand, unfinished, none "
        "begins, workers leave.",
        "search.cli.commands.stop",
    ),
    "pause": Entry(
        "Let workers put their trials aside after the epoch at hand, and wait; `search resume` "
        "goes on with the same trials.",
        "search.cli.commands.pause",
    ),
    "resume": Entry(
        "Go on with a paused or stopped study; workers that have left must be started again.",
        "search.cli.commands.resume",
    ),
    "extend": Entry(
        "Give a study more budget, whether it runs or has ended; workers that have left must be "
        "started again.",
        "search.cli.commands.extend",
    ),
    "confirm": Entry(
        "Train the best trials and the control again with other seeds, and say which of them is "
        "best and by how much.",
        "search.cli.commands.confirm",
    ),
    "export-best": Entry(
        "Write the best trial's model as a bundle, and check it after writing: same score, same "
        "masks from ONNX and "
        "torch.export.",
        "search.cli.commands.export_best",
    ),
    "predict": Entry(
        "Label new images with a bundle. Without torch, ONNX Runtime does it.",
        "search.cli.commands.predict",
    ),
    "evaluate": Entry(
        "Score a bundle on labelled frames; of its own study's frames only the validation part "
        "counts.",
        "search.cli.commands.evaluate",
    ),
    "report": Entry(
        "Write a study as one HTML file for people: scores, curves, what mattered, pictures, "
        "costs. It needs no network.",
        "search.cli.commands.report",
    ),
    "demo": Entry(
        "Everything in minutes on a laptop: generated terrain, embedded Postgres, workers, "
        "progress, export.",
        "search.cli.commands.demo",
    ),
    "dashboard": Entry(
        "optuna-dashboard on the studies of a database, with the trials' pictures. Ctrl-C ends it.",
        "search.cli.commands.dashboard",
    ),
    "serve": Entry(
        "The embedded database for workers on other hosts, until Ctrl-C or SIGTERM; prints the two "
        "settings that they need.",
        "search.cli.commands.serve",
    ),
    "slurm": Entry(
        "Print a script that starts workers of a study as an array of Slurm's. It submits nothing.",
        "search.cli.commands.slurm",
    ),
    "doctor": Entry(
        "Say what this machine has and lacks: cores, memory, GPUs, disk, database, artifact store, "
        "versions.",
        "search.cli.commands.doctor",
    ),
    "gc": Entry(
        "Remove what no trial of any study in the database needs, from the database and the "
        "artifact store.",
        "search.cli.commands.gc",
    ),
    "migrate": Entry(
        "Start a study in a changed space with those ended trials of another one that fit into it.",
        "search.cli.commands.migrate",
    ),
    "upgrade": Entry(
        "Bring the tables that an older version of this program made up to this one; nothing is "
        "lost.",
        "search.cli.commands.upgrade",
    ),
    "data": Entry(
        "Check data before a study is made of it, and look at it.",
        commands={
            "check": Entry(
                "Say what a data set holds, what would be dropped, how it would be split, and "
                "every problem. Writes nothing "
                "else.",
                "search.cli.commands.data_check",
            ),
            "import": Entry(
                "Turn an export of COCO, LabelMe, YOLO, Label Studio or Kaggle into a folder of images and "
                "masks.",
                "search.cli.commands.data_import",
            ),
            "preview": Entry(
                "Draw frames and masks before and after augmentation as one picture.",
                "search.cli.commands.data_preview",
            ),
        },
    ),
    "space": Entry(
        "Show or check what a search may vary.",
        commands={
            "show": Entry(
                "Print every field that may vary, what it may be, when it exists, and the "
                "control's value.",
                "search.cli.commands.space_show",
            ),
            "check": Entry(
                "Check a space file in full; every problem is named with its path, rule and value.",
                "search.cli.commands.space_check",
            ),
        },
    ),
    "recipes": Entry(
        "The systems of the five reports, as configs that a study can try.",
        commands={
            "list": Entry(
                "List every recipe with its parameters (for one grey channel and five classes) and "
                "the scores of its report.",
                "search.cli.commands.recipes_list",
            ),
            "show": Entry(
                "Print recipes as YAML: the whole config, the scores of the report, and how what "
                "is unclear there was read.",
                "search.cli.commands.recipes_show",
            ),
            "run": Entry(
                "Train recipes under one budget, and write a table of their scores beside those of "
                "the reports.",
                "search.cli.commands.recipes_run",
            ),
        },
    ),
}

app = group(
    "search",
    "Hyperparameter search for semantic segmentation: many workers, one database, one model you "
    "can use.",
    COMMANDS,
    context_settings={"max_content_width": 100},
)


def run() -> None:
    """Run one command; whatever a user can mend or wait for ends in one line, never in a
    traceback.
    """
    passwords.hide_password()  # first: until then `ps` shows it
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")
    # Optuna writes local times, which workers in several time zones would mix
    os.environ["TZ"] = "UTC"
    time.tzset()
    if isinstance(sys.stdout, io.TextIOWrapper):  # a file name may hold bytes that are no text
        sys.stdout.reconfigure(errors="backslashreplace")
    for number in (signal.SIGTERM, signal.SIGHUP):
        # under nohup SIGHUP is ignored, and stays so
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, _exit)
    sys.exit(answer(sys.argv[1:]))


def answer(words: list[str]) -> int:
    """Run the command that the words name; returns the exit code: 2 for the user's mistake, 1 for
    the world's.
    """
    if any("\0" in word for word in words):
        return say("a null byte cannot be part of a command", 2)
    try:
        code = app(words, prog_name="search", standalone_mode=False) or 0
        sys.stdout.flush()
    except BrokenPipeError:  # `search status | head -1`: nobody wants to read on
        abandon_output()
        return 141
    except (KeyboardInterrupt, typer.Abort):
        return 130
    except SearchError as error:
        return say(words_of(error), error.exit_code, words)
    except typer.TyperException as error:
        return say_usage(error, words)
    except OSError as error:
        abandon_output()
        place = f"{error.filename}: " if error.filename else ""
        reason = one_line(f"{place}{error.strerror or error}")
        return say(f"{reason}; make room, or choose a place that can be read and written", 1, words)
    except MemoryError:
        return say("there is not enough memory for this; see `search doctor`", 1)
    except UnicodeError as error:  # bytes that are no text can name a file, and nothing else
        return say(f"{one_line(str(error))}; write names and addresses in UTF-8", 2, words)
    except Exception as error:  # our own mistake: a line for the user, the rest for whoever asks
        if os.environ.get("SEARCH_TRACEBACK"):
            print(scrubbed(traceback.format_exc().rstrip(), words), file=sys.stderr)
        return say(
            f"unexpected {joined(f'{type(error).__name__}: {error}')} (SEARCH_TRACEBACK=1 shows "
            f"where)",
            1,
            words,
        )
    return int(code)


def _exit(number: int, frame: FrameType | None) -> None:
    # the way out, where workers and databases are stopped, is walked once
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
