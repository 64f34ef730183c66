"""New images labelled with a bundle."""

import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Literal

import typer

from objectives.data.preparing.progress import EVERY_S
from objectives.errors import Problem, UserError
from objectives.outputs.place import is_stream
from objectives.predict import masks
from objectives.predict.checks import refuse_bad
from objectives.predict.engines import EngineWanted, torch_is_there
from objectives.predict.layers import Extra
from objectives.program.settings import FlipsWanted
from search.cli.action import NO_TORCH
from search.cli.found_here import found_here


class RowsSaid:
    """Says every few seconds how far a large image is predicted."""

    def __init__(self) -> None:
        self.said_at = time.monotonic()

    def __call__(self, name: str, done: int, of: int) -> None:
        """Say how many of an image's rows are predicted."""
        if done < of and time.monotonic() - self.said_at >= EVERY_S:
            self.said_at = time.monotonic()
            typer.echo(f"{name}: {done} of {of} rows", err=True)


def predict(
    bundle: Path,
    source: str,
    out: Path,
    device: str,
    engine: Literal["auto", "torch", "onnx"],
    flips: FlipsWanted,
    *,
    probabilities: bool,
    uncertainty: bool,
    force: bool,
    skip_bad: bool,
) -> None:
    """Write the masks and what is asked for beside them; exit code 1 where images were left out."""
    asked: dict[Extra, bool] = {"probabilities": probabilities, "uncertainty": uncertainty}
    beside = [extra for extra in asked if asked[extra]]
    left_out: list[Problem] = []
    lacks: dict[str, None] = {}  # once, though a GPU had no memory and the CPU goes on

    def leave_out(_: str, problems: Sequence[Problem]) -> None:
        left_out[:] = problems  # not those of a GPU that then had no memory, too

    on_bad = leave_out if skip_bad else refuse_bad
    label = partial(
        masks.predict,
        bundle,
        found_here(source),
        out,
        beside=beside,
        force=force,
        on_bad=on_bad,
        heard=masks.Heard(RowsSaid(), lambda line: lacks.update({line: None})),
    )
    by_torch = engine == "torch" or (engine == "auto" and torch_is_there())
    if by_torch:
        if not torch_is_there():
            raise UserError(NO_TORCH)
        from search.cli.torch_device import on_device

        count = on_device(
            device, lambda each: label(engine=EngineWanted("torch", str(each), flips))
        )
    else:
        count = label(engine=EngineWanted("onnx", device, flips))
    typer.echo(
        f"{count} masks{' with ' if beside else ''}{' and '.join(beside)} written to {out}"
        f"{'' if by_torch else ' (by ONNX Runtime)'}",
        err=is_stream(out),
    )
    for line in lacks:
        typer.echo(line, err=True)
    for problem in left_out:
        typer.echo(f"left out: {problem}", err=True)
    if left_out:
        raise typer.Exit(1)
