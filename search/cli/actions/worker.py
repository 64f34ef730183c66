"""A worker, from its options to its exit code."""

import os
import sys
from contextlib import suppress

import typer

from objectives.errors import SearchError, UserError
from objectives.lifeline import leave_with
from search.cli.commands.worker import WorkerOptions
from search.cli.options import AUTO
from search.cli.values import parse_duration
from search.database.connections import reachable
from search.machine.gpus import offer
from search.place import open_place
from search.worker.arrival import wait_for_study
from search.worker.context import BY_NEED, Orders, WorkerSettings
from search.worker.loop import run_worker


def work(asked: WorkerOptions) -> None:
    """Pull trials of a study until it is over, or the worker is asked to leave."""
    leave_code = asked.leave_code
    if leave_code in (SearchError.exit_code, UserError.exit_code):
        raise UserError(
            f"--leave-code {leave_code} means something else already: take 0 or 3 to 255, 75 say"
        )
    # first: whatever is waited for below, it can be left
    orders = Orders.from_signals(drain=asked.drain, leave_code=leave_code)
    if asked.with_parent:
        leave_with(asked.with_parent)
    offer(asked.device)  # refuses one that this host lacks
    wait_s = parse_duration(asked.wait, "--wait", least_s=0)
    lease_s = parse_duration(asked.lease, "--lease", least_s=2)
    hang_s = parse_duration(asked.hang, "--hang", least_s=5)
    with (
        open_place(asked.storage, asked.artifacts, asked.home, asked.cache) as place,
        reachable(place.storage),
    ):
        settings = WorkerSettings(
            artifacts=place.artifacts,
            cache=place.cache,
            device=asked.device,
            per_gpu=BY_NEED if asked.per_gpu == AUTO else int(asked.per_gpu or 0),
            source=asked.data,
            threads=asked.threads,
            most_threads=asked.most_threads,
            prefetchers=asked.prefetchers,
            augment_on=asked.augment,
            lease_s=lease_s,
            hang_s=hang_s,
            verbose=asked.verbose,
        )
        study = wait_for_study(place.storage, asked.study, wait_s, _say)
        try:
            run_worker(study, settings, orders, _say)
        finally:
            study.close()
    if orders.leave.is_set():
        raise typer.Exit(leave_code)


def _say(line: str) -> None:
    with suppress(OSError):  # a log whose disk is full is no reason to stop training
        typer.echo(f"worker {os.getpid()}: {line}")
        sys.stdout.flush()  # whoever follows the log of a worker reads it as it is said
