"""Command lines made of every option of every command, with odd values, over a real study that none
of them may change.
"""

import hashlib
import io
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2
import typer
from hypothesis import strategies as st

from search.cli.app import answer, app
from tests.support.fuzzing import ODD_TEXT, assert_clear

STUDY = "small"
NOWHERE = "postgresql://team:top-secret@127.0.0.1:1/studies"
SECRET = "top-secret"
ABSENT = ("--study", "absent")
TAKEN = (
    "--study",
    STUDY,
    "--trials",
    "5",
    "--gpu-hours",
    "0",
    "--cache",
    "cache",
    "--home",
    "home",
)  # other settings than it has
# What ends each command line: a command that trains, serves or changes a study is kept from doing
# so, and only from that. The last one of a repeated option counts.
PINS: dict[str, tuple[str, ...]] = {
    "init": TAKEN,
    "run": TAKEN,
    "recipes run": (
        "--study",
        STUDY,
        "--data",
        "synthetic:40",
        "--epochs",
        "2",
        "--cache",
        "cache",
        "--home",
        "home",
    ),
    "report": (*ABSENT, "--out", "report.html", "--home", "home"),
    "confirm": (*ABSENT, "--workers", "0", "--home", "home"),
    "plan": ("--workers", "0", "--home", "home"),
    "worker": (*ABSENT, "--wait", "0s", "--home", "home"),
    "demo": ("--home", "/dev/null/home"),
    "dashboard": ("--host", "no host", "--wait", "0s", "--home", "home"),
    "serve": ("--host", "no host", "--home", "home"),
    "slurm": ABSENT,
    "status": ("--json", "--home", "home"),
    **dict.fromkeys(("stop", "pause", "resume", "extend", "migrate"), (*ABSENT, "--home", "home")),
}
# waits for the study's end; ends every line early; tells this very process to leave, whose parent
# is another
NEVER = {"--watch", "--help", "--with-parent"}
WORDS: dict[type, list[str]] = {
    int: [
        "0",
        "1",
        "7",
        "-1",
        "+5",
        "3.5",
        "1e3",
        str(2**31),
        str(2**64),
        "9" * 400,
        "nan",
        "0x10",
        "١٢",
    ],
    float: ["0", "0.5", "1", "-0.0", "1e-320", "1e308", "inf", "-inf", "nan", "1,5", "9" * 400],
}
OF_OPTION: dict[str, list[str]] = {
    "--storage": [
        NOWHERE,
        "postgresql://",
        "postgresql:/x:top-secret@y",
        "team:top-secret@host/x",
        "mysql://u:top-secret@h/x",
        "postgresql://u:top-secret@127.0.0.1:99999/x",
        "postgresql://u:top-secret@127.0.0.1:port/x",
        "postgresql:///x?host=/nowhere",
        "postgresql://u:top-secret@127.0.0.1:1/x?sslmode=odd",
        "postgresql://127.0.0.1:1/x?password=top-secret&odd=1",
        "host=127.0.0.1 port=1 password=top-secret",
        "postgresql://[::1/x",
        "postgresql://u:top-secret@127.0.0.1:1/x?port=a&host=b",
    ],
    "--artifacts": [
        "s3://",
        "s3://A/x",
        "s3://key:top-secret@bucket/x",
        "ftp://host/x",
        "file:///dev/null/x",
        "file://host/x",
        "s3://bucket?x=1",
        "http://[::1",
        "/dev/null/x",
        "artifacts",
        "s3://bucket/x?endpoint=nowhere",
    ],
    "--size": ["8x8", "0x8", "8", "x", "-1x8", "8x8x8", "99999x1", "٨x٨", "8X8"],
    "--scored": ["1", "1,2", "9", ",", "1,,2", "-1", "1 2", "255,0", "٣"],
    "--score": [
        "iou",
        "iou:1",
        "dice:soil=3,1",
        "least-recall",
        "least-iou:a=2",
        "boundary-iou@0.1:1",
        "boundary-iou@9",
        "iou:nowhere",
        "iou:1=0",
        "iou:1=1e999",
        "iou:,",
        "x:1",
        "least-",
        "iou:" + "9" * 400,
    ],
    "--until": ["1s", "0s", "-1h", "soon", "1e9h", "366d", "367d", "1.5.5h", "nan"],
    "--device": [
        "auto",
        "cpu",
        "cuda",
        "cuda:0",
        "cuda:999",
        "cuda:-1",
        "cuda:",
        "mps",
        "meta",
        "CPU",
    ],
    "--split": ["validation", "test", "train", ""],
    "--set": [
        "model.depth=3",
        "model.depth",
        "=3",
        "model.depth={int: [2, 9]}",
        "x=y",
        "loss.focal=.nan",
        "pruning=[",
        "train.epochs=0",
    ],
    "--recipes": ["A5,C1", "all", "A5,,", "a5", "Z9", ","],
    "--space": ["tiny", "small", "mars", "none.yaml", "space.yaml", "frames", "/dev/null", "/"],
    "--data": [
        "synthetic:40",
        "synthetic:1",
        "synthetic:40:seed=x",
        "synthetic::",
        "frames.npz",
        "torn.npz",
        "frames",
        "/dev/null",
        "absent",
    ],
    "--hang": ["5s", "0s", "x"],
    "--lease": ["2s", "1s", "x"],
    "--host": ["256.0.0.1", "a" * 70, "\udcff", "..", "é" * 40],
}
ARGUMENTS = {
    "PATH": [*OF_OPTION["--data"], "space.yaml", "bundle"],
    "BUNDLE": ["bundle", "frames", "absent", "frames.npz", "."],
    "INPUT": ["frames.npz", "frames", "torn.npz", "synthetic:24", "absent", "bundle"],
    "DATA": ["frames.npz", "frames", "torn.npz", "synthetic:24", "absent"],
}
FILES = [
    "out",
    "out.npz",
    "out.csv",
    "out.png",
    "out.jpg",
    "frames",
    "bundle",
    "frames.npz",
    "/dev/null/x",
    ".",
    "",
    "a" * 300,
    "new/deep/out.csv",
]
# no path outside the test's folder
TEXT = ODD_TEXT.filter(lambda text: not text.startswith(("/", "~")) and ".." not in text)


@dataclass(frozen=True)
class Parameter:
    """An option by its name, or an argument by its metavar; what it takes, none for a flag."""

    name: str
    is_option: bool
    is_flag: bool
    kind: type


def parameters() -> dict[str, list[Parameter]]:
    """What every command takes, as the program itself knows it."""
    return dict(_walk(typer.main.get_command(app), ""))


def _walk(command: Any, path: str) -> Iterator[tuple[str, list[Parameter]]]:
    if hasattr(command, "commands"):
        for name, below in command.commands.items():
            yield from _walk(below, f"{path} {name}".strip())
        return
    found = []
    for each in command.params:
        option = each.param_type_name == "option"
        kind = getattr(each.type_descriptor, "annotation", str)
        for name in each.opts if option else [each.metavar or each.name.upper()]:
            if name not in NEVER:
                found.append(Parameter(name, option, bool(getattr(each, "is_flag", False)), kind))
    yield path, found


COMMANDS = parameters()


@st.composite
def command_lines(draw: st.DrawFn) -> list[str]:
    """A command with some of its options, odd words among them, and its pin."""
    command = draw(st.sampled_from(sorted(COMMANDS)))
    known = COMMANDS[command]
    words = [
        draw(_values(each)) for each in known if not each.is_option and draw(st.integers(0, 9))
    ]
    options = [each for each in known if each.is_option]
    for each in draw(st.lists(st.sampled_from(options), max_size=4)) if options else []:
        words += _given(draw, each)
    if command in ("predict",) and draw(st.integers(0, 9)):
        words += ["--out", draw(st.sampled_from(FILES))]
    match draw(st.integers(0, 19)):
        case 0:
            words.insert(draw(st.integers(0, len(words))), draw(TEXT))
        case 1:
            words.insert(
                draw(st.integers(0, len(words))),
                draw(st.sampled_from(["--", "-", "--odd", "--storage", "-x=1", "--help"])),
            )
        case 2:
            return [
                draw(
                    st.one_of(
                        TEXT.filter(lambda text: text not in COMMANDS),
                        st.sampled_from(["data", "space", "recipes"]),
                    )
                )
            ]
        case _:
            pass
    return [
        *command.split(),
        *(["--"] if "--" in words and draw(st.booleans()) else words),
        *PINS.get(command, ()),
    ]


def _given(draw: st.DrawFn, each: Parameter) -> list[str]:
    if each.is_flag:
        return [each.name]
    value = draw(_values(each))
    return [f"{each.name}={value}"] if draw(st.booleans()) else [each.name, value]


def _values(each: Parameter) -> st.SearchStrategy[str]:
    if each.name == "--storage":
        return st.sampled_from(OF_OPTION[each.name])
    if each.name == "--host":
        return st.sampled_from(OF_OPTION[each.name])
    known = (
        OF_OPTION.get(each.name)
        or (None if each.is_option else ARGUMENTS.get(each.name))
        or WORDS.get(each.kind)
        or (FILES if each.name == "--out" else ["tiny", "small", "A5", "x"])
    )
    return st.one_of(st.sampled_from(known), st.sampled_from(known), TEXT)


def run_in_process(words: list[str]) -> None:
    """Run a command as the program does; it ends with an exit code and, when it fails, in clear
    lines.
    """
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = answer(words)
    assert_good_end(code, out.getvalue(), err.getvalue())


def assert_good_end(code: int, out: str, err: str) -> None:
    """Fail unless the exit code is the program's own, the words are clear, and no password is in
    them.
    """
    assert code in (0, 1, 2), (code, err)
    assert "Traceback" not in out + err, err
    assert "search: unexpected" not in err, err
    assert SECRET not in out + err, err
    if code and err:  # of a command that lists findings on standard output, these are the words
        assert_clear(err.strip("\n")) if not err.startswith("Usage") else None
    assert code == 0 or err.strip() or out.strip()


def dump(url: str, artifacts: Path) -> str:
    """Everything that a study consists of: all rows of all tables, and all artifacts."""
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER "
            "BY 1"
        )
        tables = [name for (name,) in cursor.fetchall()]
        rows = []
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" AS t ORDER BY 1')
            rows += [f"{table} {row}" for (row,) in cursor.fetchall()]
    connection.close()
    files = sorted(file for file in artifacts.rglob("*") if file.is_file())
    rows += [
        f"{file.relative_to(artifacts)} {hashlib.sha256(file.read_bytes()).hexdigest()}"
        for file in files
    ]
    return "\n".join(rows)
