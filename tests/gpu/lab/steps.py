"""The steps of the GPU lab, each a function: ``python3 steps.py NAME`` runs one, which prints what
it finds and a verdict.
"""

import json
import os
import signal
import subprocess
import sys
import time

import psutil
from common import (
    CUDA,
    DEVICE,
    HERE,
    MARK,
    SLOW,
    Watch,
    counted,
    data_set,
    database,
    describe_leftovers,
    home,
    leftovers,
    mean,
    say,
    search,
    source,
    start,
    sweep,
    trials,
    verdict,
)

# train all epochs: what is measured here must not depend on luck
EVERY = ("--set", "pruning={kind: none}")


def versions() -> None:
    """Say what is on this machine (step 1)."""
    import importlib.metadata as metadata

    names = (
        "torch torchvision numpy opencv-python-headless albumentations albucore optuna "
        "sqlalchemy pydantic timm typer"
    )
    names += " segmentation-models-pytorch onnx onnxruntime onnxscript pytest lightning"
    found = []
    for name in names.split():
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            found.append(f"{name} MISSING")
    say(
        f"python {sys.version.split()[0]}, {os.cpu_count()} cores, "
        f"{psutil.virtual_memory().total / 2**30:.0f} GiB"
    )
    say(", ".join(found))
    say(
        "shm:",
        *subprocess.run(
            ["df", "-h", "/dev/shm"], capture_output=True, text=True
        ).stdout.splitlines()[-1:],
    )
    for tool in ("gcc", "nvidia-cuda-mps-control", "git"):
        say(
            tool,
            subprocess.run(["which", tool], capture_output=True, text=True).stdout.strip()
            or "not there",
        )
    import torch

    from search.machine.gpus import list_gpus

    gpus = list_gpus()
    say("gpus as the project lists them:", gpus)
    if not CUDA:
        return verdict(None, f"torch {torch.__version__} without a GPU")
    sees = torch.cuda.is_available() and torch.cuda.get_device_name(0)
    verdict(
        bool(sees and gpus),
        f"{sees}, torch {torch.__version__}, cuDNN {torch.backends.cudnn.version()}, driver lists "
        f"{len(gpus)}",
    )
    return None


def study() -> None:
    """Run a small study by three workers on one GPU (step 3): exact budget, the GPU's scores, an
    export with the same score.
    """
    folder, count, workers = home("study"), 5 if CUDA else 3, 3 if CUDA else 2
    mark = os.environ[MARK]
    with database(folder) as url, Watch() as watch:
        began = time.monotonic()
        place = ("--artifacts", folder / "artifacts", "--cache", folder / "cache")
        run = search(
            "run", "--study", "gpu", "--data", "synthetic:160", "--space", "tiny", "--trials", count, "--workers", workers,
            "--device", DEVICE, *EVERY, *place, storage=url, timeout=100,
        )  # fmt: skip
        took = time.monotonic() - began
        found = trials(url, "gpu")
        for each in found:
            say(" ", {key: str(value) for key, value in each.items()})
        status = json.loads(
            search("status", "--study", "gpu", "--json", storage=url, timeout=30)
            .stdout.strip()
            .splitlines()[-1]
        )
        devices = {worker["device"] for worker in status["workers"]}
        say("devices of the workers:", devices)
        left = describe_leftovers(mark, 7.0 if CUDA else 1.0)
        out = folder / "bundle"
        search("export-best", "--study", "gpu", "--out", out, *place, storage=url, timeout=60)
        exported = json.loads((out / "metrics.json").read_text()) if out.exists() else {}
        same = (
            bool(exported)
            and abs(exported["validation"]["score"] - status["best"]["score"]) <= 1e-6
        )
        evaluated = (
            search("evaluate", out, "synthetic:160", "--device", "cpu", "--json", timeout=60)
            if same
            else None
        )
    say(str(watch))
    good = (
        run.returncode == 0
        and len(found) == count
        and counted(found, "state") == {"COMPLETE": count}
        and same
    )
    good = (
        good
        and set(counted(found, "scored_on")) == {DEVICE}
        and exported["device"] == DEVICE
        and len(devices) == 1
    )
    on_cpu = f", evaluate on the CPU exits {evaluated.returncode}" if evaluated else ""
    export = "has the score" if same else "FAILED"
    ended = f"{len(found)} of {count} trials {counted(found, 'cause')} in {took:.0f} s"
    verdict(good, f"{ended}, export {export}{on_cpu}; {left}")


def precision() -> None:
    """Measure what bf16 does to the score and to the time of an epoch, with three seeds
    (step 4).
    """
    import torch

    from objectives.config import Augment, Config, Train, UNet
    from objectives.training.fit import fit, prepare

    data = data_set(400 if CUDA else 60)
    epochs, steps = (8, 24) if CUDA else (2, 2)
    differences, seconds = [], {True: [], False: []}
    torch.backends.cudnn.benchmark = True
    for seed in range(3 if CUDA else 1):
        scores = {}
        for bf16 in (True, False):
            config = Config(
                model=UNet(depth=3, base_filters=16 if CUDA else 4),
                augment=Augment(intensity=0.0),
                train=Train(
                    epochs=epochs,
                    steps_per_epoch=steps,
                    batch_size=32 if CUDA else 8,
                    bf16=bf16,
                    ema=0.9,
                ),
            )
            results = list(fit(prepare(config, data, seed=seed, device=torch.device(DEVICE))))
            scores[bf16] = max(result.score for result in results)
            seconds[bf16] += [result.seconds for result in results[2:]] or [results[-1].seconds]
        differences.append(scores[True] - scores[False])
        say(
            f"seed {seed}: bf16 {scores[True]:.4f}, float32 {scores[False]:.4f}, difference "
            f"{differences[-1]:+.4f}"
        )
    difference = mean(differences)
    took = {
        bf16: f"{1000 * sorted(values)[len(values) // 2]:.0f} ms"
        for bf16, values in seconds.items()
    }
    scored = f"score with bf16 minus without {difference:+.4f} over {len(differences)} seeds"
    verdict(abs(difference) <= 0.03, f"{scored}; an epoch {took[True]} against {took[False]}")


def kill() -> None:
    """Kill a worker in the middle of a trial (step 5): another goes on with it, and nothing is left
    of the first.
    """
    folder, mark = home("kill"), os.environ[MARK]
    count, logs = 3, []
    with database(folder) as url:
        place = ("--artifacts", folder / "artifacts", "--cache", folder / "cache")
        epochs = 150 if CUDA else 60
        search(
            "init", "--study", "kill", "--data", "synthetic:160", "--space", "tiny", "--trials", count,
            "--set", f"train.epochs={epochs}", "--set", "train.batch_size=16", *EVERY, *place, storage=url, timeout=60,
        )  # fmt: skip

        def worker() -> subprocess.Popen[str]:
            """Start a worker with a log of its own."""
            logs.append(folder / f"worker-{len(logs)}.log")
            words = ("worker", "--study", "kill", "--device", DEVICE, "--lease", "5s", *place)
            return start(*words, *(() if CUDA else ("--threads", 1)), storage=url, log=logs[-1])

        def busy() -> tuple[int, int] | None:
            """Return a worker's process id and its trial's number, once that trial has
            been saved.
            """
            status = json.loads(_status(url, "kill"))
            done = {each["number"]: each["epochs"] for each in trials(url, "kill")}
            for each in status["workers"]:
                if each["alive"] and each["trial"] is not None and done.get(each["trial"]):
                    return int(each["name"].rpartition(":")[2]), each["trial"]
            return None

        workers = [worker(), worker()]
        deadline = time.monotonic() + 60 * SLOW
        while not (victim := busy()):
            if time.monotonic() > deadline or all(
                process.poll() is not None for process in workers
            ):
                say(*(log.read_text()[-600:] for log in logs))
                return verdict(False, "no trial was saved within 60 s")
            time.sleep(0.3)
        pid, number = victim
        children = psutil.Process(pid).children(recursive=True)
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        say(
            f"killed worker {pid} in the middle of trial {number}; it had {len(children)} "
            f"processes below it"
        )
        workers.append(worker())
        time.sleep(8)
        alive = [p for p in children if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
        orphans = f"{len(alive)} of its {len(children)} processes lived on after 8 s"
        codes = []
        for process in workers:
            try:
                codes.append(process.wait(max(1.0, killed + 95 * SLOW - time.monotonic())))
            except subprocess.TimeoutExpired:
                process.kill()
                codes.append(None)
        found = trials(url, "kill")
        words = "\n".join(log.read_text() for log in logs)
        resumed = f"trial {number} goes on after epoch" in words
        say(
            "exit codes", codes, [(each["number"], each["state"], each["epochs"]) for each in found]
        )
        say("\n".join(line for line in words.splitlines() if f"trial {number} " in line)[-800:])
        whole = all(each["epochs"] == epochs for each in found)
        good = (
            resumed
            and len(found) == count
            and counted(found, "state") == {"COMPLETE": count}
            and whole
        )
        left = describe_leftovers(mark, 1.0)
    verdict(
        good and not alive,
        f"{'resumed' if resumed else 'NOT RESUMED'}, {counted(found, 'state')} of {count}; "
        f"{orphans}; {left}",
    )
    return None


def _status(url: str, name: str) -> str:
    from search.study.status import read_status
    from search.study.stored import open_study

    opened = open_study(url, name)
    try:
        return json.dumps(read_status(opened).as_json())
    finally:
        opened.close()


def hourly() -> None:
    """Count the trials an hour of 1, 4 and 8 workers on the one GPU, by the database's times (step
    7).
    """
    folder, mark = home("hourly"), os.environ[MARK]
    rates = []
    with database(folder) as url:
        for workers, count in ((1, 2), (4, 4), (8, 8)) if CUDA else ((1, 1), (2, 2)):
            name = f"w{workers}"
            with Watch() as watch:
                search(
                    "run", "--study", name, "--data", source(2615 if CUDA else 60), "--space", "small", "--trials", count,
                    "--workers", workers, "--device", DEVICE, "--set", f"train.epochs={10 if CUDA else 1}", "--seed", 1, *EVERY,
                    "--artifacts", folder / "artifacts", "--cache", folder / "cache", storage=url, timeout=65,
                )  # fmt: skip
            found = [each for each in trials(url, name) if each["ended"]]
            took = [(each["ended"] - each["begun"]).total_seconds() for each in found]
            beside = [
                seconds - each["train_seconds"] for seconds, each in zip(took, found, strict=True)
            ]
            in_all = 0.0
            if found:
                in_all = (
                    max(each["ended"] for each in found) - min(each["begun"] for each in found)
                ).total_seconds()
            rate = 3600 * len(found) / in_all if in_all else 0.0
            rates.append(f"{workers}: {rate:.0f}/h")
            say(
                f"{workers} workers: {len(found)} of {count} trials in {in_all:.1f} s = {rate:.0f} "
                f"an hour; {watch}"
            )
            say(
                f"  one takes {middle(took):.1f} s, {middle(beside):.1f} s of it beside its "
                f"epochs; {counted(found, 'state')}"
            )
            say("  swept", sweep_but_database(mark))
    verdict(len(rates) > 1, "trials an hour by workers " + ", ".join(rates))


def middle(values: list[float]) -> float:
    """Return the median, of an even number the upper one; 0 without any."""
    return sorted(values)[len(values) // 2] if values else 0.0


def sweep_but_database(mark: str) -> int:
    """End what a step has left as `common.sweep` does, but for the database."""
    found = [p for p in leftovers(mark) if "postgres" not in p.name()]
    for process in found:
        try:
            process.kill()
        except psutil.Error:
            continue
    return len(found)


# takes all of the GPU's memory but so many MiB, and keeps it
HOLDER = """
import sys
import time

import torch

leave, held = int(sys.argv[1]) * 2**20, []
while True:
    free, total = torch.cuda.mem_get_info()
    step = min(free - leave, 4 * 2**30)
    if step < 2**21:
        break
    try:
        held.append(torch.empty(step, dtype=torch.uint8, device="cuda"))
    except torch.OutOfMemoryError:
        break
print("free MiB", torch.cuda.mem_get_info()[0] // 2**20, flush=True)
time.sleep(600)
"""


def memory() -> None:
    """See what becomes of trials while another process holds the memory that they would fit into
    (step 8).
    """
    if not CUDA:
        return verdict(None, "needs a GPU")
    folder, told = home("memory"), []
    with database(folder) as url:
        for leave in (900, 150):  # MiB: a context and little more; not even a context
            holder = subprocess.Popen(
                [sys.executable, "-c", HOLDER, str(leave)], stdout=subprocess.PIPE, text=True
            )
            say("holder:", holder.stdout.readline().strip())
            name = f"free{leave}"
            search(
                "run", "--study", name, "--data", "synthetic:160", "--space", "small", "--trials", 3, "--workers", 1,
                "--device", DEVICE, "--set", "train.epochs=2", *EVERY,
                "--artifacts", folder / "artifacts", "--cache", folder / "cache", storage=url, timeout=28,
            )  # fmt: skip
            holder.kill()
            holder.wait()
            found = trials(url, name)
            for each in found:
                say(" ", each["number"], each["state"], each["cause"], each["message"])
            told.append((leave, counted(found, "state"), counted(found, "cause")))
    lost = [leave for leave, states, _ in told if states.get("PRUNED") or states.get("FAIL")]
    seen = "; ".join(f"{leave} MiB free: {states} {causes}" for leave, states, causes in told)
    verdict(not lost, seen + (": verdicts for ever because of a neighbour" if lost else ""))
    return None


def mps() -> None:
    """Run the bare loop in 1, 4 and 8 processes, by time slices and under MPS (step 9, only when
    asked for).

    It changes no setting of the card.
    """
    if (
        not CUDA
        or subprocess.run(["which", "nvidia-cuda-mps-control"], capture_output=True).returncode
    ):
        return verdict(None, "no nvidia-cuda-mps-control here")
    pipes = home("mps")
    environment = {"CUDA_MPS_PIPE_DIRECTORY": str(pipes), "CUDA_MPS_LOG_DIRECTORY": str(pipes)}

    def rates(extra: dict[str, str], number: int) -> float:
        """Return the images a second of so many processes in all."""
        command = [sys.executable, str(HERE / "speed.py"), "bare-process", "5"]
        running = [
            subprocess.Popen(command, env=os.environ | extra, stdout=subprocess.PIPE, text=True)
            for _ in range(number)
        ]
        lines = [process.communicate(timeout=60)[0].strip().splitlines() for process in running]
        return sum(float(said[-1]) if said else 0.0 for said in lines)

    sliced = {number: rates({}, number) for number in (1, 4, 8)}
    say("time slices, img/s in all:", sliced)
    started = subprocess.run(
        ["nvidia-cuda-mps-control", "-d"],
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )
    say("mps:", started.returncode, started.stderr.strip())
    try:
        shared = {number: rates(environment, number) for number in (1, 4, 8)}
    finally:
        subprocess.run(
            ["nvidia-cuda-mps-control"],
            input="quit\n",
            env=os.environ | environment,
            text=True,
            timeout=30,
        )
    say("MPS, img/s in all:", shared)
    verdict(
        True,
        ", ".join(
            f"{n} processes: {sliced[n]:.0f} by time slices, {shared[n]:.0f} under MPS"
            for n in sliced
        ),
    )
    return None


if __name__ == "__main__":
    steps = (versions, study, precision, kill, hourly, memory, mps)
    os.environ.setdefault(MARK, f"{sys.argv[1]}-{os.getpid()}")
    try:
        {step.__name__: step for step in steps}[sys.argv[1]]()
    finally:
        sweep(os.environ[MARK])
