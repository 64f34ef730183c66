"""What a budget buys, said before a study is begun."""

import math

import torch
import typer

from objectives.data.dataset import open_dataset
from search.cli.study_options import StudyOptions
from search.cli.torch_device import torch_device
from search.cli.written import request_of
from search.doctor.gains import expected_gain
from search.doctor.speed import Speed, largest, measured
from search.machine.hosts import cores
from search.place import name_place
from search.study.budget import time_text
from search.study.data_path import here
from search.study.setup import prepare
from search.study.spec import StudySpec
from search.study.spread import DRAWN
from spaces import load_stored_space

GIB = 2**30


def plan(asked: StudyOptions, workers: int, device: str) -> None:
    """Print how long trainings take here, how many fit into the budget, and what so many have
    gained.
    """
    place = name_place(asked.storage, asked.artifacts, asked.home, asked.cache)
    spec = prepare(request_of(asked), place).spec
    data = open_dataset(here(spec.source, place.cache), spec.frames, place.cache)
    space = load_stored_space(spec.space)
    torch.set_num_threads(max(1, int(cores()) // workers))
    on = torch_device(device)
    control = measured(space.default(), data, on)
    typer.echo(_line("the control", control))
    big = measured(largest(space, data, spec.seed), data, on)
    typer.echo(_line(f"the largest of {DRAWN} random configs and the control", big))
    if isinstance(control, str):
        raise typer.Exit(1)
    for line in budget_lines(spec, control.seconds, workers):
        typer.echo(line)


def budget_lines(spec: StudySpec, each_s: float, workers: int) -> list[str]:
    """Return what the budget buys in whole trainings as long as ``each_s``."""
    fitting = trainings_within(spec.until_s, spec.gpu_s, each_s, workers)
    counted = min(spec.trials, fitting)
    whole_s = math.ceil(spec.trials / workers) * each_s
    lines = [
        f"{spec.trials} whole trainings as long as the control's take {time_text(whole_s)} with "
        f"{workers} worker(s); where the space prunes, many end early"
    ]
    if fitting < math.inf:
        lines.append(f"{fitting:.0f} such trainings fit into the time with {workers} worker(s)")
        if workers > 1:
            alone = trainings_within(spec.until_s, spec.gpu_s, each_s, 1)
            lines.append(f"{alone:.0f} such trainings fit with one worker")
    return [*lines, expected_gain(counted)]


def trainings_within(until_s: float, gpu_s: float, each_s: float, workers: int) -> float:
    """Return how many whole trainings end before a deadline and within hours on devices, where each
    worker trains one after the other; infinite without either.
    """
    by_deadline = workers * (until_s // each_s) if until_s else math.inf
    return min(by_deadline, gpu_s // each_s if gpu_s else math.inf)


def _line(what: str, speed: Speed | str) -> str:
    if isinstance(speed, str):
        return f"{what}: cannot be trained here: {speed}"
    memory = f", {speed.memory_bytes / GIB:.1f} GiB of GPU memory" if speed.memory_bytes else ""
    return (
        f"{what}: about {time_text(speed.seconds)} for {speed.epochs} epochs, "
        f"{speed.multiply_adds / 1e6:,.0f} million multiply-adds a frame{memory}"
    )
