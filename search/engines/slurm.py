"""The script of an array of workers for Slurm: the one that ships, with a user's values in it."""

import re
import shlex
from collections.abc import Mapping
from importlib.resources import files

from objectives.errors import UserError

SCRIPT = "worker.sbatch"  # beside this file, and as deploy/slurm/worker.sbatch
_WORD = r"[A-Za-z_][\w.-]*"
_GRES = rf"{_WORD}(:[\w.-]+){{0,2}}"
# options of sbatch, and what their values may be: each becomes a word of a script
RULES = {
    "--array": (r"\d{1,6}-\d{1,6}", "like 0-7"),
    "--cpus-per-task": (r"\d{1,6}", "a number"),
    "--gres": (rf"{_GRES}(,{_GRES})*", "like gpu:1 or gpu:a100:1"),
    "--time": (
        r"\d{1,6}|\d{1,4}:\d{1,2}(:\d{1,2})?|\d{1,3}-\d{1,2}(:\d{1,2}){0,2}",
        "minutes, or like 8:00:00 or 2-0",
    ),
    "--mem": (r"\d{1,9}[KMGT]?", "like 32G"),
    "--partition": (rf"{_WORD}(,{_WORD})*", "a name, or names with commas"),
    "--account": (_WORD, "a name"),
}


def worker_script(program: str, study: str, device: str, options: Mapping[str, str]) -> str:
    """Return the script that ``sbatch`` takes, with the path of our program, and with options out
    of ``RULES``: an empty value leaves one to the cluster.

    Raises:
        UserError: A value is none of Slurm's.
    """
    script = files("search.engines").joinpath(SCRIPT).read_text(encoding="utf-8")
    for option, value in options.items():
        _refuse(option, value)
        script = _with_option(script, option, value)
    script = _with_line(script, "program=", shlex.quote(program))
    script = _with_line(script, "export SEARCH_STUDY=", shlex.quote(study))
    return _with_line(script, "export SEARCH_DEVICE=", shlex.quote(device))


def _refuse(option: str, value: str) -> None:
    pattern, rule = RULES[option]
    if value and not re.fullmatch(pattern, value, re.ASCII):
        raise UserError(f"{option} must be {rule}, got {value!r}")


def _with_option(script: str, option: str, value: str) -> str:
    """Return the script with an option of sbatch's; without it where the value is empty."""
    prefix, last = f"#SBATCH {option}=", "#SBATCH --open-mode="
    if prefix not in script:
        script = script.replace(last, f"{prefix}\n{last}")
    return _with_line(script, prefix, value)


def _with_line(script: str, prefix: str, value: str) -> str:
    """Return the script with this value in its one line that begins so; without the line where the
    value is empty.
    """
    lines = script.splitlines()
    (at,) = [number for number, each in enumerate(lines) if each.startswith(prefix)]
    lines[at : at + 1] = [f"{prefix}{value}"] if value else []
    return "\n".join(lines) + "\n"
