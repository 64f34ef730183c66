"""A Slurm cluster of one node with fake GPUs, all in one folder: Debian's daemons, no systemd, no
control groups.
"""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.ports import free_port

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
INSTALL = "apt-get install --no-install-recommends slurm-wlm munge"
GPUS = 3
# quick turns; a requeued task would else wait for its old credential's end, two minutes
CONFIG = """
ClusterName=lab
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
SlurmctldPort={controller}
SlurmdPort={node}
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
ReturnToService=2
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=batch_sched_delay=1,sched_interval=2,bf_interval=2
GresTypes=gpu
KillWait=10
MinJobAge=3600
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=8 RealMemory=8000 Gres=gpu:{gpus} State=UNKNOWN
PartitionName=spot Nodes={host} Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=5 State=UP
PartitionName=high Nodes={host} PriorityTier=10 PreemptMode=OFF State=UP
"""


@dataclass(frozen=True)
class Cluster:
    """A running cluster."""

    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What a client needs to reach it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def call(self, *words: str, **settings: str) -> str:
        """Return what a client of Slurm's prints."""
        done = subprocess.run(
            words,
            env=os.environ | self.environment | settings,
            capture_output=True,
            text=True,
            cwd=self.folder,
            timeout=60,
        )
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def show(self, job: str) -> dict[str, str]:
        """Return what Slurm knows of a task, or of a job."""
        words = self.call("scontrol", "show", "job", "--oneliner", job).splitlines()[0].split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def logs(self) -> str:
        """Return the last words of the daemons."""
        return "\n".join(
            log.read_text(errors="replace")[-2000:] for log in self.folder.glob("*.log")
        )


def lacking() -> str:
    """Return why there can be no cluster here; empty where there can."""
    if os.geteuid() != 0:
        return "a Slurm cluster of one's own needs root"
    path = f"{os.environ['PATH']}:/usr/sbin"
    missing = [program for program in PROGRAMS if not shutil.which(program, path=path)]
    return f"{', '.join(missing)} missing: {INSTALL}" if missing else ""


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Yield a cluster whose files are in ``folder``; its daemons end with it, and no others."""
    daemons: list[subprocess.Popen[bytes]] = []
    made = Cluster(folder)
    _write(folder)
    settings = os.environ | made.environment

    def start(*words: str) -> None:
        with (folder / f"{Path(words[0]).name}.out").open("wb") as out:
            daemons.append(
                subprocess.Popen(
                    words, env=settings, stdout=out, stderr=out, start_new_session=True
                )
            )

    try:
        start("/usr/sbin/munged", "--foreground", "--force", *_of_munge(folder))
        _wait((folder / "munge.socket").exists, made)
        start("/usr/sbin/slurmctld", "-D", "-f", str(folder / "slurm.conf"))
        start("/usr/sbin/slurmd", "-D", "-f", str(folder / "slurm.conf"))
        _wait(lambda: "idle" in _nodes(made), made)
        yield made
        made.call("scancel", "--user=root")  # what a failed test has left
        _wait(lambda: not made.call("squeue", "--noheader").strip(), made)
    finally:
        for daemon in reversed(daemons):  # the node's first
            daemon.terminate()
            daemon.wait(60)


def _write(folder: Path) -> None:
    for name in ("state", "spool"):
        (folder / name).mkdir()
    for number in range(GPUS):  # any character device will do
        os.mknod(folder / f"gpu{number}", 0o020666, os.makedev(1, 3))
    key = folder / "munge.key"
    key.touch(0o600)
    key.write_bytes(os.urandom(1024))
    host = socket.gethostname()
    values = {"host": host, "folder": folder, "gpus": GPUS}
    ports = {"controller": free_port(), "node": free_port()}
    (folder / "slurm.conf").write_text(CONFIG.format(**values, **ports))
    gres = f"NodeName={host} Name=gpu File={folder}/gpu[0-{GPUS - 1}]\n"
    (folder / "gres.conf").write_text(gres)
    (folder / "cgroup.conf").write_text("CgroupAutomount=no\n")


def _of_munge(folder: Path) -> list[str]:
    files = {"socket": "munge.socket", "key-file": "munge.key", "log-file": "munge.log"}
    files |= {"pid-file": "munge.pid", "seed-file": "munge.seed"}
    return [f"--{option}={folder / name}" for option, name in files.items()]


def _nodes(made: Cluster) -> str:
    done = subprocess.run(
        ["sinfo", "--noheader", "--format=%t"],
        env=os.environ | made.environment,
        capture_output=True,
        text=True,
    )
    return done.stdout


def _wait(what: Callable[[], object], made: Cluster) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline, made.logs()
        time.sleep(0.2)
