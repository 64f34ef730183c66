"""What became of a study after a fault: every claim of the table is counted here, from the
database, the store and the logs.
"""

import hashlib
import re
import time
from dataclasses import dataclass

from laws import fell_back, trained_again
from scene import EPOCH, RESUMED, Scene, descendants_marked, read

ENDED = re.compile(r"trial (\d+) (completed|pruned|infeasible|diverged|error|crashed|hung)\b")
MOST_REPEATED_S = 30.0  # of epochs, for each interruption; or one epoch


@dataclass
class Row:
    """A line of the table; ``wrong`` says what did not hold."""

    fault: str
    injected: int
    trials: int
    lost: int
    doubled: int
    exact: bool
    repeated: int  # epochs that were trained again, whoever trained them
    most_repeated_s: float  # after one interruption
    wrong: list[str]
    note: str = ""
    seconds: float = 0.0

    def cells(self) -> list[str]:
        """The row in words."""
        exact, result = ("yes" if self.exact else "NO"), ("holds" if not self.wrong else "FAILS")
        repeated = f"{self.repeated} ({self.most_repeated_s:.1f} s)"
        return [
            self.fault,
            str(self.injected),
            str(self.trials),
            str(self.lost),
            str(self.doubled),
            exact,
            repeated,
            result,
            self.note,
        ]


HEAD = [
    "fault",
    "injected",
    "trials",
    "lost",
    "doubled",
    "budget exact",
    "epochs repeated (most after one fault)",
    "result",
    "seen",
]


def audit(
    scene: Scene,
    fault: str,
    injected: int,
    *,
    note: str = "",
    failed: int = 0,
    alone_s: float = 0.0,
) -> Row:
    """Count what a finished study has lost, doubled and repeated.

    ``failed``: trials that had to fail. ``alone_s``: how long a trial trained on while its worker
    could not renew its lease; what it trained then was wasted, and may be trained again.
    """
    trials = scene.query("SELECT number, state FROM trials ORDER BY number")
    lost = (
        cut_without_checkpoint(scene)
        if scene.halted
        else [n for n, state in trials if state in ("RUNNING", "WAITING")]
    )
    told = [int(match[1]) for _, line in scene.heard if (match := ENDED.search(line))]
    doubled = sorted({number for number in told if told.count(number) > 1})
    wrong = [f"trials {lost} have not ended"] if lost else []
    wrong += [f"trials {doubled} have ended twice"] if doubled else []
    numbers = [number for number, _ in trials]
    exact = numbers == list(range(scene.budget))
    wrong += [] if exact else [f"trials are {numbers}, the budget is {scene.budget}"]
    failures = [number for number, state in trials if state == "FAIL"]
    causes = scene.causes("state = 'FAIL'") + scene.causes("state = 'FAIL'", "message")
    wrong += (
        []
        if len(failures) == failed
        else [f"trials {failures} have failed, {failed} should: {causes}"]
    )
    wrong += histories(scene) + checkpoints(scene) + leftovers(scene) + fell_back(scene)
    most_s, too_much = repeats(scene, MOST_REPEATED_S + alone_s)
    wrong += too_much
    return Row(
        fault,
        injected,
        len(trials),
        len(lost),
        len(doubled),
        exact,
        trained_again(scene),
        most_s,
        wrong,
        note,
    )


def cut_without_checkpoint(scene: Scene) -> list[int]:
    """Trials that a limit has cut and that could not go on: somebody holds them, or epochs were
    told and none was saved.
    """
    return [
        int(number)
        for (number,) in scene.query("""
        SELECT number FROM trials JOIN search_lease USING (trial_id) WHERE state = 'RUNNING' AND (
            expires_at > clock_timestamp() OR (
                EXISTS (SELECT 1 FROM trial_intermediate_values AS told WHERE told.trial_id = trials.trial_id)
                AND NOT EXISTS (
                    SELECT 1 FROM search_checkpoint AS kept WHERE kept.trial_id = trials.trial_id AND kind = 'last')))
    """)
    ]


def histories(scene: Scene) -> list[str]:
    """Every trial's epochs were reported without a gap, each with its measures; none is twice in
    the tables, whose keys forbid it.
    """
    epochs = "trials LEFT JOIN trial_intermediate_values USING (trial_id)"
    asked = (
        f"SELECT number, trials.state, array_remove(array_agg(step ORDER BY step), NULL) FROM "
        f"{epochs} GROUP BY 1, 2"
    )
    wrong = []
    for number, state, steps in scene.query(asked):
        if steps != list(range(1, len(steps) + 1)):
            wrong.append(f"trial {number} has epochs {steps}")
        if state == "COMPLETE" and not steps:
            wrong.append(f"trial {number} is complete and has no epoch")
        if (
            state == "COMPLETE"
            and scene.causes(f"number = {number}") == ["completed"]
            and len(steps) != scene.epochs
        ):
            wrong.append(f"trial {number} completed after {len(steps)} of {scene.epochs} epochs")
    apart = scene.query("""
        SELECT number, coalesce(step, epoch) FROM trials JOIN (
            trial_intermediate_values AS told
            FULL JOIN search_epoch AS ours ON told.trial_id = ours.trial_id AND step = epoch
        ) ON trials.trial_id = coalesce(told.trial_id, ours.trial_id)
        WHERE step IS NULL OR epoch IS NULL""")
    wrong += [f"trial {number} has half of epoch {epoch}" for number, epoch in apart]
    return wrong


def checkpoints(scene: Scene) -> list[str]:
    """Every pointer names whole bytes, no finished trial keeps a state, the best complete trial has
    its weights.
    """
    wrong = []
    blobs = scene.artifacts / "blobs"
    valued = "trials LEFT JOIN trial_values USING (trial_id)"
    pointers = scene.query(
        f"SELECT number, state, kind, blob, value FROM search_checkpoint JOIN ({valued}) USING "
        f"(trial_id)"
    )
    for number, state, kind, blob, _ in pointers:
        file = blobs / blob[:2] / blob[2:]
        if not file.exists() or hashlib.sha256(file.read_bytes()).hexdigest() != blob:
            wrong.append(f"the {kind} of trial {number} is not in the store as it was written")
        if kind != "best" and state not in ("RUNNING", "WAITING"):
            wrong.append(f"trial {number} has ended and keeps its {kind}")
    best = scene.query(f"""
        SELECT number FROM {valued} LEFT JOIN trial_user_attributes AS told
             ON told.trial_id = trials.trial_id AND key = 'posterior_mean'
        WHERE state = 'COMPLETE' ORDER BY coalesce(value_json::float, value) DESC, number LIMIT 1""")
    if best and best[0][0] not in [number for number, _, kind, _, _ in pointers if kind == "best"]:
        wrong.append(f"the best trial, {best[0][0]}, has no weights")
    scored = scene.query("""SELECT number, value, max(intermediate_value) FROM trials JOIN trial_values USING (trial_id)
                            JOIN trial_intermediate_values USING (trial_id) WHERE state = 'COMPLETE' GROUP BY 1, 2""")
    wrong += [
        f"trial {number} was told {value}, its best epoch has {top}"
        for number, value, top in scored
        if value != top
    ]
    return wrong


def leftovers(scene: Scene) -> list[str]:
    """Ten seconds after the last worker no process of the scene is left."""
    deadline = time.monotonic() + 10.0
    while (left := descendants_marked(scene.mark)) and time.monotonic() < deadline:
        time.sleep(0.1)
    words = [read(f"/proc/{pid}/cmdline").replace("\0", " ")[:80] for pid in left]
    return [f"processes outlive their workers by 10 s: {', '.join(words)}"] if left else []


def repeats(scene: Scene, allowed_s: float) -> tuple[float, list[str]]:
    """The most seconds of epochs that an interruption has cost, and where that is too much.

    Too much is more than one epoch and more than ``allowed_s`` of them. What two processes train at
    the same time is not the cost of a resume: it is counted by ``trained_again``, not here.
    """
    trained: dict[int, dict[int, float]] = {}
    most_s, wrong = 0.0, list[str]()
    for _, line in sorted(scene.heard, key=lambda each: each[0]):
        if match := RESUMED.search(line):
            number, after = int(match[1]), int(match[2])
            again = {
                epoch: seconds
                for epoch, seconds in trained.get(number, {}).items()
                if epoch > after
            }
            most_s = max(most_s, sum(again.values()))
            if len(again) > 1 and sum(again.values()) > allowed_s:
                wrong.append(
                    f"trial {number} trained {len(again)} epochs again, {sum(again.values()):.0f} s"
                )
            trained[number] = {
                epoch: seconds
                for epoch, seconds in trained.get(number, {}).items()
                if epoch <= after
            }
        elif match := EPOCH.search(line):
            trained.setdefault(int(match[1]), {})[int(match[2])] = float(match[3])
        elif (match := re.search(r"trial (\d+) starts$", line)) and (
            before := trained.pop(int(match[1]), {})
        ):
            most_s = max(most_s, sum(before.values()))
            if len(before) > 1 and sum(before.values()) > allowed_s:
                wrong.append(
                    f"trial {match[1]} trained {len(before)} epochs again, "
                    f"{sum(before.values()):.0f} s"
                )
    return most_s, wrong
