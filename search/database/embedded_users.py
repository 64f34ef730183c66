"""The processes that use an embedded server: it stops with the last of them."""

import json
from pathlib import Path
from typing import Any

import psutil

# a process's start is reckoned from that of the machine, which a set clock moves
SAME_START_S = 10.0


def count_users(folder: Path, *joining: int) -> list[int]:
    """Keep the living users in the package's list, and ``joining`` with them; return them. With
    dead ones in it, the server never stops.

    Numbers of processes come back, so it is written down when each of them began.
    """
    listed = folder / ".handle_pids.json"
    began = folder.parent / "postgres.users"
    before = {int(pid): float(start) for pid, start in _read_json(began, {}).items()}
    now = {pid: start_of(pid) for pid in dict.fromkeys([*_read_json(listed, []), *joining])}
    living = {
        pid: start
        for pid, start in now.items()
        if start and abs(start - before.get(pid, start)) < SAME_START_S
    }
    living |= {pid: now[pid] for pid in joining}
    if living or listed.exists():  # a new database is made in an empty folder
        listed.write_text(json.dumps(list(living)))
    began.write_text(json.dumps(living))
    return list(living)


def start_of(pid: int) -> float:
    """Return when a process began; 0 without it, and for one that has ended and whose parent does
    not care.
    """
    try:
        process = psutil.Process(pid)
        return 0.0 if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
    except psutil.Error:
        return 0.0


def _read_json(file: Path, otherwise: Any) -> Any:
    """Return a small file's value; ``otherwise`` where a power cut has left none."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return otherwise
    return content if isinstance(content, type(otherwise)) else otherwise
