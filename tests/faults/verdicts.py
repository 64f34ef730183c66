"""Trials that end badly through no fault of their surroundings: what becomes of them, and what they
cost the study.
"""

import re
import resource

import optuna
from audit import Row, audit
from optuna.trial import TrialState
from scene import Scene, Worker, read, scene

MIB = 2**20
TOO_LITTLE = 96 * MIB  # for two frames of the network below
# weight decay by 10 x 1.0 turns each weight into minus nine of it, at each step: a float is
# infinite after forty
WILD = (
    "optimiser.kind=sgd", "optimiser.learning_rate={choice: [0.01, "
                          "10.0]}", "optimiser.weight_decay={choice: [0.0, 1.0]}",
    "control.optimiser.kind=sgd", "control.optimiser.learning_rate=10.0", "control.optimiser.weight_decay=1.0",
    "schedule={kind: plateau}", "control.schedule={kind: plateau}", "pruning={kind: none}",
)  # fmt: skip
LARGE = (
    "model.base_filters=64", "control.model.base_filters=64", "train.batch_size=16", "train.scale=1.0",
    "train.steps_per_epoch=1",
)  # fmt: skip


def diverged() -> Row:
    """Learning rates at which the loss becomes infinite: failed with cause and epoch, begun once
    each, counted.
    """
    with scene(8, 12, *settings(WILD)) as at:
        workers = [at.start(), at.start()]
        at.finish()
        messages = attributes_of(at, "message", "state = 'FAIL'")
        row = audit(
            at,
            "loss that becomes infinite",
            len(messages),
            failed=len(messages),
            note=messages[0] if messages else "",
        )
        row.wrong += (
            []
            if set(at.causes("state = 'FAIL'")) == {"diverged"}
            else [f"causes {at.causes('true')}"]
        )
        named = [
            re.search(r"the loss is (nan|-?inf) in epoch \d+", message) for message in messages
        ]
        row.wrong += [] if all(named) and messages else [f"messages {messages}"]
        row.wrong += [] if at.states().get("COMPLETE") else ["no trial of the others is complete"]
        begun = sum(line.endswith(" starts") for _, line in at.heard)
        row.wrong += [] if begun == at.budget else [f"{begun} beginnings of {at.budget} trials"]
        row.wrong += ["a trial was resumed"] if at.said("goes on after") else []
        row.wrong += (
            ["a worker died of it"] if any(worker.process.returncode for worker in workers) else []
        )
        return row


def out_of_memory() -> Row:
    """The first trial's process may take little more memory than it has: infeasible, told as
    pruned; the next one is whole.
    """
    with scene(2, 2, *settings(LARGE)) as at:
        worker = at.start()
        allow(at, worker, TOO_LITTLE)
        at.finish()
        row = audit(at, "memory of a trial's process runs out", 1)
        causes, (message, *_) = at.causes("true"), [*attributes_of(at, "message", "number = 0"), ""]
        constraint = attributes_of(at, "constraint%", "number = 0", table="trial_system_attributes")
        row.note = message[:100]
        row.wrong += [] if causes == ["infeasible", "completed"] else [f"causes {causes}"]
        row.wrong += (
            [] if at.states() == {"PRUNED": 1, "COMPLETE": 1} else [f"states {at.states()}"]
        )
        row.wrong += [] if constraint else ["no constraint is set"]
        row.wrong += [] if "does not fit into the memory" in message else [f"message {message}"]
        row.wrong += ["the worker died of it"] if worker.process.returncode else []
        return row


def allow(at: Scene, worker: Worker, more: int) -> None:
    """Let the process of the trial at hand take so many bytes more than it has, and no further
    ones.
    """
    (child,) = at.wait(worker.children, "a trial's process", 120)
    found = re.search(r"VmData:\s+(\d+) kB", read(f"/proc/{child}/status"))
    assert found, "the process is gone"
    most = 1024 * int(found[1]) + more
    resource.prlimit(child, resource.RLIMIT_DATA, (most, most))


def failed_by_hand() -> Row:
    """Somebody fails a running trial in the dashboard: its worker leaves it, and the budget does
    not pay for it.
    """
    with scene(3, 30) as at:
        worker = at.start()
        at.wait(lambda: at.epochs_done(0) >= 2, "epochs")
        url = at.server.url.replace("postgresql://", "postgresql+psycopg2://")
        study = optuna.load_study(study_name="faults", storage=url)
        study._storage.set_trial_state_values(study.get_trials()[0]._trial_id, TrialState.FAIL)
        at.wait(lambda: at.said("ended by somebody else"), "the worker to notice", 60)
        at.finish()
        at.budget += 1  # four trials, of which three count
        row = audit(at, "trial failed by hand while it runs", 1, failed=1)
        row.wrong += [] if at.said("was ended by somebody else") else ["its worker did not say so"]
        row.wrong += ["the worker died of it"] if worker.process.returncode else []
        return row


def settings(pairs: tuple[str, ...]) -> list[str]:
    """The options that set these."""
    return [word for pair in pairs for word in ("--set", pair)]


def attributes_of(
    at: Scene, key: str, condition: str, *, table: str = "trial_user_attributes"
) -> list[str]:
    """The attributes with keys like this of the trials that meet a condition."""
    asked = (
        f"SELECT value_json FROM {table} JOIN trials USING (trial_id) WHERE key LIKE '{key}' "
        f"AND {condition}"
    )
    return [str(value) for (value,) in at.query(f"{asked} ORDER BY number")]


ALL = [diverged, out_of_memory, failed_by_hand]
