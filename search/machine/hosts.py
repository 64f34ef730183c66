"""The host a worker runs on: what a worker is called on it, and this worker's share of its cores."""

import os
import socket
from pathlib import Path


def process_name() -> str:
    """Return ``place:pid`` for people; a place is a host, a container, or a task of Slurm's with
    cores of its own.
    """
    return f"{socket.gethostname()}{_task()}:{os.getpid()}"


def cores() -> float:
    """Return the cores that this process may use: its affinity, within the limits of its control
    group and of its task.
    """
    return min(float(len(os.sched_getaffinity(0))), _cgroup_cores(), _task_cores())


def thread_share(on_host: int, here: int) -> int:
    """Return the CPU threads for one worker of those on this host, of which some are in its place
    and share its limit.

    A task of Slurm's has cores that no other worker of the host may take.
    """
    if _task_cores() < float("inf"):
        return max(1, int(cores() / max(1, here)))
    return max(
        1, int(min(len(os.sched_getaffinity(0)) / max(1, on_host), _cgroup_cores() / max(1, here)))
    )


def _cgroup_cores() -> float:
    """Return the core limit of control group v2 (``cpu.max``: quota and period) or v1; infinite
    without one.
    """
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = Path("/sys/fs/cgroup/cpu/cpu.cfs_quota_us").read_text().strip()
            period = Path("/sys/fs/cgroup/cpu/cpu.cfs_period_us").read_text().strip()
        except OSError:
            return float("inf")
    return float("inf") if quota in ("max", "-1") else int(quota) / int(period)


def _task_cores() -> float:
    """Return the cores that Slurm has given to this task; infinite outside, or where it was not
    asked for a number.
    """
    setting = os.environ.get("SLURM_CPUS_PER_TASK", "")
    return float(setting) if setting.isdecimal() and int(setting) else float("inf")


def _task() -> str:
    """Return the name of this task of Slurm's, by which workers that share its cores know each
    other; empty outside.
    """
    if _task_cores() == float("inf"):
        return ""
    parts = (os.environ.get(f"SLURM_{name}", "") for name in ("JOB_ID", "STEP_ID", "PROCID"))
    return "/" + ".".join(filter(None, parts))
