"""Walks through the states of a confirmation: after each there is a way on, and no sentence about
it is untrue.

A search runs on, its trials fail, confirmations are planned by one or two people or killed while
they plan, runs end in every way, confirmations are deleted, and at any moment somebody exports.
Nothing is trained: results are told as a worker does.
"""

import itertools
import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ClassVar

import optuna
import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import Connection, text

from objectives.bundle.belief_in_one import Confirmed
from objectives.errors import UserError
from search.cli.actions.confirm import standing_json
from search.confirm.plan import plan
from search.confirm.standing import ConfirmationState, read_standing
from search.confirm.state import begin
from search.confirm.wanted import Asked
from search.export.winner import best_trial, find_winner
from search.study.beliefs import read_beliefs
from search.study.budget import current_budget, is_over
from search.study.spec import StudySpec
from search.study.stored import Study, create_study, enqueue_first, open_study
from spaces import load_stored_space
from tests.support.report_studies import drawn_trials, spec_of, trial_of, write_study

POOL = 4  # configs that the search draws
scores = st.integers(1, 999).map(lambda thousandth: thousandth / 1000)
ends = st.one_of(scores, st.sampled_from(["crashed", "diverged", "fail"]))
ROWS = text(
    "SELECT (SELECT count(*) FROM trials), (SELECT count(*) FROM studies), (SELECT sum(trials) "
    "FROM search_study)"
)


@dataclass
class Plan:
    """A confirmation as the walk knows it: of each run that has ended its score, or why it has
    none.
    """

    name: str
    top: int
    seeds: int
    candidates: list[int]
    ended: dict[tuple[int, int], float | str] = field(default_factory=dict)
    at_hand: set[tuple[int, int]] = field(default_factory=set)

    def scored(self, candidate: int, seed: int) -> bool:
        return isinstance(self.ended.get((candidate, seed)), float)


class Walk(RuleBasedStateMachine):
    """One study, its confirmations, and what the walk knows of them."""

    database: ClassVar[str]
    pool: ClassVar[list[FrozenTrial]]
    names: ClassVar[Iterator[int]]

    @initialize(first=st.lists(scores, max_size=3), confirmed=st.booleans())
    def begin_a_search(self, first: list[float], confirmed: bool) -> None:
        self.searched = write_study(self.database, spec_of(f"walk-{next(self.names)}"), [])
        # config and score of each trial, NaN for one that failed
        self.searches: list[tuple[int, float]] = []
        self.plans: list[Plan] = []
        self.deleted: list[Plan] = []  # kept: their ids name what is opened
        self.opened: dict[int, Study] = {}
        for config, score in enumerate(first):
            self.a_trial_of_the_search_ends(config, score, fails=False)
        if first and confirmed:
            self.somebody_confirms(2, 2, again=False)

    def teardown(self) -> None:
        if not hasattr(self, "searched"):
            return
        if self.complete():
            self.go_all_the_way()
        for study in (self.searched, *self.opened.values()):
            study.close()

    @rule(
        config=st.integers(0, POOL - 1),
        score=scores,
        fails=st.sampled_from([False, False, False, True]),
    )
    def a_trial_of_the_search_ends(self, config: int, score: float, fails: bool) -> None:
        drawn, state, cause = (
            self.pool[config],
            *(("FAIL", "diverged") if fails else ("COMPLETE", "completed")),
        )
        number, kinds = len(self.searches), drawn.distributions
        self.searched.optuna.add_trial(
            trial_of(number, state, drawn.params, kinds, [score], end_cause=cause)
        )
        self.searches.append((config, math.nan if fails else score))

    @rule(
        top=st.sampled_from([None, 1, 2]), seeds=st.sampled_from([None, 1, 2]), again=st.booleans()
    )
    def somebody_confirms(self, top: int | None, seeds: int | None, again: bool) -> None:
        before = self.plans[-1] if self.plans else None
        other = (
            before
            and not again
            and (top not in (None, before.top) or seeds not in (None, before.seeds))
        )
        if other or not self.complete():
            with pytest.raises(
                UserError, match="is planned otherwise" if before and other else "no complete trial"
            ):
                begin(self.searched, self.database, Asked(top, seeds), again=again)
            return
        found = begin(self.searched, self.database, Asked(top, seeds), again=again)
        self.expect_plan(top, seeds, again)
        newest = self.plans[-1]
        assert found.name == newest.name
        lines = " ".join(found.lines)
        assert ("stays as it is" in lines) == (newest is not before and before is not None)
        if newest is before:
            assert ("nothing is left to train" in lines) == (not newest.at_hand)
            assert (f"study {newest.name!r} goes on" in lines) == bool(newest.at_hand)
        self.look()

    @precondition(lambda self: self.complete())
    @rule(again=st.booleans())
    def two_confirm_at_once(self, again: bool) -> None:
        def confirm(_: int) -> str:
            opened = open_study(self.database, self.searched.spec.name)
            try:
                return begin(opened, self.database, Asked(), again=again).name
            finally:
                opened.close()

        with ThreadPoolExecutor(2) as people:
            names = set(people.map(confirm, range(2)))
        self.expect_plan(None, None, again)
        assert names == {self.plans[-1].name}

    @precondition(lambda self: self.complete())
    @rule()
    def somebody_is_killed_while_planning(self) -> None:
        class KilledError(Exception): ...

        def killed(study: optuna.Study, spec: StudySpec, connection: Connection) -> int:
            enqueue_first(study, spec, connection)
            raise KilledError

        spec = plan(self.searched, top=1, seeds=1, resplit=True, count=self.next_count())
        with pytest.raises(KilledError):
            create_study(self.database, spec, begin=killed)

    @precondition(lambda self: self.runs_at_hand())
    @rule(end=ends)
    def a_run_ends(self, end: float | str) -> None:
        newest_at_hand = next(mine for mine in reversed(self.plans) if mine.at_hand)
        self.end_a_run(newest_at_hand, end)
        self.look()

    @precondition(lambda self: self.plans)
    @rule()
    def the_newest_confirmation_is_deleted(self) -> None:
        deleted = self.plans.pop()
        optuna.delete_study(study_name=deleted.name, storage=self.searched.storage)
        self.deleted.append(deleted)

    @precondition(lambda self: self.complete())
    @rule()
    def somebody_exports(self) -> None:
        before = self.rows()
        winner, chosen, choosable = (
            find_winner(self.searched, self.database),
            self.look(),
            self.choosable(),
        )
        assert self.rows() == before
        assert list(winner.remarks) == self.true_sentences()
        if not choosable:
            assert (winner.study, winner.number) == (self.searched, self.complete_by_belief()[0])
            assert winner.belief == best_trial(self.searched).belief
            return
        newest = self.plans[-1]
        assert winner.number == chosen
        assert (winner.study.spec.name, winner.score) == (
            newest.name,
            newest.ended[winner.number, 0],
        )
        assert winner.study.run(winner.run_number) == winner.study.run(
            newest.candidates.index(winner.number)
        )
        assert isinstance(winner.belief, Confirmed)
        assert winner.belief.candidates == len(choosable)
        assert winner.belief.seeds == sum(
            newest.scored(winner.number, seed) for seed in range(newest.seeds)
        )
        winner.study.close()

    def look(self) -> int | None:
        """Read what is confirmed so far, compare it with what the walk knows, and return the
        choice.
        """
        said = standing_json(read_standing(self.searched, self.database))
        assert said["remarks"] == self.true_sentences()
        assert said["state"] == self.true_state()
        chosen: int | None = said["choice"]["candidate"] if said["choice"] else None
        assert chosen in (self.choosable() or [None])
        return chosen

    def go_all_the_way(self) -> None:
        """From wherever the walk has ended, plan anew, train what is left, once more what fails of
        it, and export.
        """
        self.somebody_confirms(2, 2, again=True)
        newest = self.plans[-1]
        for result in itertools.cycle((0.5, "crashed", 0.6)):
            if not newest.at_hand:
                break
            self.end_a_run(newest, result)
            self.look()
        self.somebody_exports()
        self.somebody_confirms(None, None, again=False)
        while newest.at_hand:
            self.end_a_run(newest, 0.5)
        self.somebody_exports()
        assert self.true_state() == "ended"
        left = [end for end in newest.ended.values() if not isinstance(end, float)]
        assert set(left) <= {"diverged"}
        assert left or not self.true_sentences()
        budget = current_budget(self.open(newest))
        assert is_over(self.open(newest))
        assert budget.total <= budget.trials

    def end_a_run(self, mine: Plan, end: float | str) -> None:
        """Tell the next run of a confirmation as a worker does; ``fail``: as somebody does in the
        dashboard.
        """
        confirming = self.open(mine)
        waiting = confirming.optuna.get_trials(deepcopy=False, states=[TrialState.WAITING])[0]
        storage, told = confirming.storage, waiting.user_attrs
        which = told["confirms"], told["seed"]
        self.check_seed(confirming, mine, waiting)
        storage.set_trial_state_values(waiting._trial_id, TrialState.RUNNING)
        cause = "completed" if isinstance(end, float) else end
        if cause != "fail":
            storage.set_trial_user_attr(waiting._trial_id, "end_cause", cause)
        if isinstance(end, float):
            storage.set_trial_state_values(waiting._trial_id, TrialState.COMPLETE, [end])
        else:
            storage.set_trial_state_values(waiting._trial_id, TrialState.FAIL)
        mine.at_hand.remove(which)
        mine.ended[which] = end

    def open(self, mine: Plan) -> Study:
        """A confirmation, opened once: a name may be given again after it was deleted."""
        if id(mine) not in self.opened:
            self.opened[id(mine)] = open_study(self.database, mine.name)
        return self.opened[id(mine)]

    def check_seed(self, confirming: Study, mine: Plan, trial: FrozenTrial) -> None:
        """A run has the seed of its turn, also when it is trained again."""
        turn, place = trial.user_attrs["seed"], mine.candidates.index(trial.user_attrs["confirms"])
        assert confirming.run(trial.number) == confirming.run(turn * len(mine.candidates) + place)

    # what the walk knows

    def complete(self) -> list[int]:
        return [number for number in range(len(self.searches)) if self.complete_is(number)]

    def score(self, number: int) -> float:
        """NaN is behind every other in a comparison."""
        score = self.searches[number][1]
        return -1.0 if math.isnan(score) else score

    def complete_by_belief(self) -> list[int]:
        """What network is handed out first, as another test compares with the posterior."""
        ranked = [each.number for each in read_beliefs(self.searched).ranked]
        assert sorted(ranked) == self.complete()
        return ranked

    def complete_is(self, number: int) -> bool:
        return not math.isnan(self.searches[number][1])

    def runs_at_hand(self) -> bool:
        return any(each.at_hand for each in self.plans)

    def rows(self) -> tuple[int, ...]:
        with self.searched.engine.connect() as connection:
            return tuple(connection.execute(ROWS).one())

    def best_now(self, top: int) -> list[int]:
        """The control where it is complete, then the others whose configs are believed best, none of
        them with a config that is taken.
        """
        chosen = [0] if self.searches and self.complete_is(0) else []
        most = len(chosen) + top
        believed = sorted(read_beliefs(self.searched).ranked, key=lambda each: each.config_rank)
        for number in (each.number for each in believed):
            if len(chosen) < most and self.searches[number][0] not in [
                self.searches[each][0] for each in chosen
            ]:
                chosen.append(number)
        return chosen

    def next_count(self) -> int:
        suffix = self.plans[-1].name.rpartition("/confirm")[2] if self.plans else "-0"
        return int(suffix[1:] or 1) + 1

    def expect_plan(self, top: int | None, seeds: int | None, again: bool) -> None:
        """What must be there after somebody has confirmed."""
        before = self.plans[-1] if self.plans else None
        top, seeds = top or (before.top if before else 5), seeds or (before.seeds if before else 3)
        candidates = self.best_now(top)
        if before and (not again or (before.candidates, before.seeds) == (candidates, seeds)):
            before.at_hand |= {
                which
                for which, end in before.ended.items()
                if not isinstance(end, float) and end != "diverged"
            }
            return
        count = self.next_count()
        name = f"{self.searched.spec.name}/confirm{f'-{count}' if count > 1 else ''}"
        at_hand = {(candidate, seed) for candidate in candidates for seed in range(seeds)}
        self.plans.append(Plan(name, top, seeds, candidates, at_hand=at_hand))

    def choosable(self) -> list[int]:
        if not self.plans or any(
            (each, 0) not in self.plans[-1].ended for each in self.plans[-1].candidates
        ):
            return []
        return [each for each in self.plans[-1].candidates if self.plans[-1].scored(each, 0)]

    def true_state(self) -> str:
        if not self.plans:
            return "none"
        newest = self.plans[-1]
        planned, ended = len(newest.candidates) * newest.seeds, set(newest.ended)
        if not ended:
            return "planned"
        if not {(each, 0) for each in newest.candidates} <= ended:
            return ConfirmationState.FIRST_ROUND
        return "ended" if len(ended) == planned else "decided"

    def true_sentences(self) -> list[str]:
        """All that is to be said against the newest confirmation."""
        if not self.plans:
            return []
        newest, found = self.plans[-1], []
        planned, count = len(newest.candidates) * newest.seeds, len(newest.candidates)
        missing = planned - sum(isinstance(end, float) for end in newest.ended.values())
        behind = sum((each, 0) not in newest.ended for each in newest.candidates)
        lost = [
            (each, newest.ended[each, 0])
            for each in newest.candidates
            if isinstance(newest.ended.get((each, 0)), str)
        ]
        if behind:
            why = f"{behind} of {count} candidates have not ended their run with the first seed"
            found.append(f"Study {newest.name!r} chooses no trial yet: {why}.")
        elif not self.choosable():
            found.append(
                f"Study {newest.name!r} chooses no trial: no candidate has a score with the first "
                f"seed."
            )
        elif missing:
            yet = "" if self.true_state() == "ended" else " yet"
            found.append(
                f"{missing} of the {planned} runs of study {newest.name!r} have no score{yet}."
            )
        if lost:
            again = any(cause != "diverged" for _, cause in lost)
            named = ", ".join(f"{number} ({cause})" for number, cause in lost)
            repeat = "; `search confirm` trains again what did not diverge" if again else ""
            found.append(
                f"Without a score with the first seed, and so not to be chosen: trials "
                f"{named}{repeat}."
            )
        configs = {self.searches[number][0] for number in newest.candidates}
        better = [
            number
            for number in self.best_now(newest.top)
            if self.searches[number][0] not in configs
        ]
        if better:
            ranked = sorted(better, key=lambda number: (-self.score(number), number))
            named = ", ".join(f"{number} ({self.score(number):.4f})" for number in ranked)
            found.append(
                f"Trials that would be candidates by now are not confirmed: {named}; `search "
                f"confirm --again` plans anew."
            )
        return found


@pytest.mark.long
def test_every_walk_has_a_way_on_and_true_sentences(database: str) -> None:
    space = load_stored_space(spec_of("pool").space)

    class OnPostgres(Walk):
        pass

    OnPostgres.database, OnPostgres.names = database, itertools.count()
    OnPostgres.pool = drawn_trials(space, POOL, prune=False)
    checks = [HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large]
    phases = (Phase.explicit, Phase.reuse, Phase.generate)  # to shrink a walk takes minutes
    walks = settings(
        max_examples=6,
        stateful_step_count=12,
        deadline=None,
        suppress_health_check=checks,
        phases=phases,
    )
    run_state_machine_as_test(OnPostgres, settings=walks)
