"""``make bench-database``: what the database costs many workers, compared with an earlier revision.

Both source trees run the same scenes in turn, each on a Postgres of its own, without data and
without training: a worker claims, draws, reports five epochs, asks for the verdict after each, and
ends its trial with all that is stored with one, by its tree's own functions. Checkpoints and
pictures are left out. A ratio is of this checkout to the earlier revision.
"""

import argparse
import os
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

from database_bench.figures import Figure
from database_bench.servers import CopiedServer, new_server
from database_bench.table import HALF, THIRD, TWENTIETH, Line, lines_of, table
from database_bench.trees import REVISION, Tree, tree_of
from faults.postgres import Server

REPEATS = 5  # of a command
Results = dict[str, dict[str, dict[str, Any]]]  # figures by side, scene and name


@dataclass(frozen=True)
class Scene:
    """What is measured at once: its letter and kind, trials that have ended before, its options,
    its targets by line.
    """

    letter: str
    name: str
    kind: str
    ended: int
    options: dict[str, Any] = field(default_factory=dict)
    sides: tuple[str, ...] = ("old", "new")
    targets: dict[str, dict[str, Fraction]] = field(default_factory=dict)


def scenes(box: float, *, small: bool) -> list[Scene]:
    """Return every scene, at full size or as small as to try them."""
    few, many = (4, 8) if small else (8, 64)
    some, lots = (60, 300) if small else (1_000, 10_000)
    least = 3.0 if small else 15.0
    timed = {"box": box, "least": least}

    def crowd(letter: str, ended: int, workers: int, **more: Any) -> Scene:
        name = (
            f"{letter}: {ended:,} ended, {workers} workers"
            if ended
            else f"{letter}: new study, {workers} workers"
        )
        return Scene(letter, name, "crowd", ended, {"workers": workers, **timed}, **more)

    faster = {"rate": {"at_least": Fraction(9, 5)}}
    sooner = {"hold": {"at_most": TWENTIETH}, "last claim": {"at_most": THIRD}}
    quiet = {"workers": few - 1, "box": box, "quiet": least / 2}
    return [
        crowd("a", 0, few),
        crowd("a", 0, many, targets=faster),
        crowd("b", some, few),
        crowd("b", some, many, targets=sooner),
        crowd("c", lots, few),
        crowd("c", lots, many, sides=("new",)),  # the old side's would take more than an hour
        Scene("d", f"d: {lots:,} ended, one newcomer", "newcomer", lots, quiet),
        Scene(
            "e", f"e: status at {lots:,}", "status", lots, targets={"command": {"at_most": HALF}}
        ),
        Scene("f", "f: one worker", "traffic", 0, {"seconds": 3.0 if small else 20.0}),
    ]


def main() -> None:
    """Run the scenes asked for, and print the table."""
    asked = arguments()
    # or servers would stay behind
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    chosen = [each for each in scenes(asked.box, small=asked.small) if each.letter in asked.scenes]
    names = ["old", "new"] if asked.side == "both" else [asked.side]
    with tempfile.TemporaryDirectory(prefix="search-bench-") as place:
        folder = Path(place)
        folder.chmod(0o755)  # the server may be another user's
        results = run([tree_of(name, folder) for name in names], folder, chosen)
    text = report(chosen, results)
    print(text)
    if asked.out:
        asked.out.write_text(text + "\n")


def arguments() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--side", choices=("old", "new", "both"), default="both")
    parser.add_argument(
        "--scenes", type=lambda text: text.split(","), default=list("abcdef"), help="a,b,... (all)"
    )
    parser.add_argument("--box", type=float, default=75.0, help="seconds that a scene may take")
    parser.add_argument("--small", action="store_true", help="all sizes small, to try it")
    parser.add_argument("--out", type=Path, help="a file for the table, too")
    return parser.parse_args()


def run(trees: list[Tree], folder: Path, chosen: list[Scene]) -> Results:
    """Run the scenes, each on one tree right after the other, as this machine may have other work;
    studies of one size are written once, and copied.
    """
    results: Results = {tree.name: {} for tree in trees}
    for ended in dict.fromkeys(scene.ended for scene in chosen):
        originals = {tree.name: written(tree, folder, ended, results) for tree in trees}
        for scene in (each for each in chosen if each.ended == ended):
            for tree in (each for each in trees if each.name in scene.sides):
                server = CopiedServer(originals[tree.name], folder / "scene")
                start = time.monotonic()
                load = os.getloadavg()[0]
                try:
                    figures = run_scene(tree, server, scene)
                except subprocess.CalledProcessError:  # it has said why
                    figures = {"note": "FAILED"}
                finally:
                    server.close()
                results[tree.name][scene.name] = figures | {"load": load}
                say(f"{tree.name}: {scene.name}: {time.monotonic() - start:.0f} s {brief(figures)}")
        for original in originals.values():
            shutil.rmtree(original.folder)
    return results


def written(tree: Tree, folder: Path, ended: int, results: Results) -> Server:
    """Return a server, stopped, with a study of a tree that has so many ended trials."""
    server = new_server(folder / f"{tree.name}-{ended}")
    try:
        figures = tree.scene(server.url, "prepare", ended=ended)
    finally:
        server.stop()
    results[tree.name][f"written {ended}"] = figures
    say(f"{tree.name}: study with {ended:,} ended trials {figures or ''}")
    return server


def run_scene(tree: Tree, server: Server, scene: Scene) -> dict[str, Any]:
    """Return the figures of one scene on a running server."""
    found = tree.scene(server.url, scene.kind, **scene.options)
    if scene.kind != "status":
        return found
    tree.status_s(server.url)  # compiles the tree, and warms the server
    wall_s, cpu_s = zip(*(tree.status_s(server.url) for _ in range(REPEATS)), strict=True)
    command = {"command": wall_s, "command cpu": cpu_s}
    return found | {
        name: asdict(Figure(statistics.median(taken))) for name, taken in command.items()
    }


def report(chosen: list[Scene], results: Results) -> str:
    """Return the table, and what is to be known of its figures."""
    lines: list[Line] = []
    for scene in chosen:
        lines += lines_of(scene.name, scene.kind, scene.targets)
    return "\n".join([table(lines, results), "", *remarks(results)])


def remarks(results: Results) -> Iterator[str]:
    """Yield lines for below the table."""
    written: dict[str, set[str]] = {}
    for side, found in results.items():
        for name, figures in found.items():
            if name.startswith("written ") and figures:
                written.setdefault(name, set()).add(figures["digest"])
                size = name.removeprefix("written ")
                yield f"- {side}: {size} trials of up to {figures['parameters']} parameters are {figures['rows']:,} rows"
            if figures.get("note"):
                yield f"- {side}, {name}: {figures['note']}"
            if "read once" in figures:
                yield f"- {side}, {name}: reading the history once, alone: {figures['read once']['value']:.3g} s"
    for name, digests in written.items():
        if len(digests) > 1:
            yield f"- {name}: the rows of the two sides DIFFER"
    loads = [
        f"{each['load']:.1f}"
        for found in results.values()
        for each in found.values()
        if "load" in each
    ]
    # what one scene leaves of it the next finds, so that even a quiet machine is not at 0
    yield f"- load of the machine's {os.cpu_count()} processors as each scene began: {', '.join(loads)}"
    yield f"- the earlier revision is {REVISION}; > marks what had not happened when the scene's time was over"
    yield "- a worker that trains is the real pulse and look at the limits after epochs of 1 s, none of them saved"


def brief(figures: dict[str, Any]) -> str:
    """Return figures in one line, for whoever waits."""
    words = [
        f"{key} {'> ' if each['at_least'] else ''}{each['value']:.3g}"
        for key, each in figures.items()
        if isinstance(each, dict)
    ]
    return ", ".join([*words, *filter(None, [figures.get("note")])])


def say(line: str) -> None:
    """Tell whoever waits how far it is."""
    print(f"[{time.strftime('%H:%M:%S')}] {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
