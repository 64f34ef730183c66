"""What is believed of a study's trials: computed from all of them, stored with each, and what goes by
it.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState
from sqlalchemy import text

from objectives.bundle.belief_in_one import Believed as BelievedOfModel
from search.confirm.plan import choose_candidates
from search.export.winner import find_winner
from search.posterior import telling
from search.posterior.belief import Believer, Run
from search.posterior.ground import SpaceGround
from search.study import beliefs as beliefs_module
from search.study.beliefs import Beliefs, read_beliefs
from search.study.front import Model, front
from search.study.luck import read_luck
from search.study.record import BELIEVED, Notes
from search.study.status import read_status
from search.study.stored import Study, open_study
from search.trials import believing
from search.trials.believing import believe
from search.trials.checkpoints import UNNEEDED
from spaces import Space, load_space
from spaces.domains import Fixed
from spaces.fields.schema import flatten
from tests.support.report_studies import (
    confirming_spec,
    confirming_trials,
    drawn,
    spec_of,
    tell_luck,
    trial_of,
    write_study,
)

STORED = text("""
    SELECT number, key, value_json FROM trial_user_attributes JOIN trials USING (trial_id)
    WHERE key = ANY(:keys) ORDER BY number
""")


@pytest.fixture
def study(database: str) -> Iterator[Study]:
    """A study of 24 trials, of which 13 were pruned or failed: nobody has believed anything yet. What its
    scores differ by from their configs is luck of the frames, so that networks are worth what configs are.
    """
    study = drawn(database)
    tell_luck(study, 0.2)
    yield study
    study.close()


def stored(study: Study) -> dict[int, dict[str, float]]:
    """What is stored as believed, by trial."""
    found: dict[int, dict[str, float]] = {}
    with study.engine.connect() as connection:
        for number, key, value in connection.execute(STORED, {"keys": list(BELIEVED)}):
            found.setdefault(number, {})[key] = json.loads(value)
    return found


def point_at_weights(study: Study, numbers: list[int]) -> None:
    """Let these trials have best weights."""
    with study.engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO search_checkpoint (trial_id, kind, blob, epoch, score)
                SELECT trial_id, 'best', 'b' || number, 1, 0.5 FROM trials WHERE number = ANY(:numbers)
            """),
            {"numbers": numbers},
        )


def test_all_runs_together_say_what_is_believed(study: Study) -> None:
    """The same as by hand: whole, pruned and no failed runs, told to the posterior."""
    trials = study.optuna.get_trials()
    ground = SpaceGround(study.space)
    told = [each for each in trials if each.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    runs = [
        Run(
            ground.tried(each.params).values,
            np.array(list(each.intermediate_values.values())),
            each.state == TrialState.COMPLETE,
        )
        for each in told
    ]
    complete = [each for each in told if each.state == TrialState.COMPLETE]
    belief = Believer(ground.coordinates, runs, 8).of(
        [ground.tried(each.params).values for each in complete]
    )
    found = read_beliefs(study)
    assert len(found.ranked) == len(complete) > 8
    for place, trial in enumerate(complete):
        believed = found.by_number[trial.number]
        assert believed.mean == pytest.approx(belief.means_C[place], abs=1e-9)
        assert believed.sd == pytest.approx(belief.sds_C[place], abs=1e-9)
        assert believed.runs == len(told)
        if trial.number:
            assert believed.beats_control == pytest.approx(belief.beats_control_C[place], abs=1e-9)
    assert found.by_number[0].beats_control is None
    ranks = [(each.believed.standing, each.believed.mean) for each in found.ranked]
    assert ranks == sorted(ranks, reverse=True)


def test_a_network_keeps_of_its_score_what_is_no_luck(study: Study, database: str) -> None:
    """Half of what its run differs by from its config, though places tell no luck. What surely beats the
    control's network is handed out; candidates of a confirmation go by their configs all the same.
    """
    configs = {each.number: each.config for each in read_beliefs(study).ranked}
    candidates = [each.number for each in choose_candidates(study, 3)]
    tell_luck(study, 1e-4)
    found = read_beliefs(study)
    assert {each.number: each.config for each in found.ranked} == configs
    assert [each.number for each in choose_candidates(study, 3)] == candidates
    trials = {trial.number: trial for trial in study.optuna.get_trials()}
    for each in found.ranked:
        last = list(trials[each.number].intermediate_values.values())[-2:]
        ended = np.mean(last)
        config = configs[each.number].mean
        assert each.believed.mean - config == pytest.approx(0.5 * (ended - config), rel=0.15)
    first = found.ranked[0]
    point_at_weights(study, [each.number for each in found.ranked])
    winner = find_winner(study, database)
    assert (winner.number, winner.score) == (first.number, first.score)
    assert isinstance(winner.belief, BelievedOfModel)
    assert winner.belief.weights
    assert winner.belief.mean == first.believed.mean


def test_the_luck_of_the_frames_is_told_by_what_is_left_without_places(study: Study) -> None:
    with study.engine.connect() as connection:
        assert read_luck(connection, study.id) == pytest.approx(0.2)
    tell_luck(study, 0.03)
    with study.engine.begin() as connection:
        assert read_luck(connection, study.id) == pytest.approx(0.03)
        connection.execute(
            text("""
                DELETE FROM trial_user_attributes WHERE key = 'scores_without_places' AND trial_id =
                (SELECT min(trial_id) FROM trial_user_attributes WHERE key = 'scores_without_places')
            """)
        )
        assert read_luck(connection, study.id) is None, "one network tells no difference"
    means = [each.believed.mean for each in read_beliefs(study).ranked]
    assert means != [each.config.mean for each in read_beliefs(study).ranked], "the usual share"


def test_what_is_believed_is_stored_with_the_trials(study: Study) -> None:
    assert not stored(study)
    found = believe(study)
    there = stored(study)
    assert there == {
        each.number: pytest.approx(each.believed.attributes()) for each in found.ranked
    }
    assert set(there[0]) == set(BELIEVED) - {"beats_control"}
    for trial in study.optuna.get_trials():
        believed = Notes.of(trial).believed
        assert (believed is None) == (trial.number not in there)
        if believed:
            assert believed.attributes() == there[trial.number]
    assert believe(study) == found  # again, with nothing new
    assert stored(study) == there


def test_what_rests_on_more_runs_stays(study: Study, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that was slow must not write over what one knew that came after it."""
    before = read_beliefs(study)
    study.optuna.add_trial(study.optuna.get_trials()[3])
    believe(study)
    there = stored(study)
    assert {each["posterior_runs"] for each in there.values()} == {
        before.ranked[0].believed.runs + 1
    }
    with monkeypatch.context() as patched:
        patched.setattr("search.trials.believing.read_beliefs", lambda study: before)
        believe(study)
    assert stored(study) == there


def test_of_a_trial_that_was_deleted_meanwhile_nothing_is_stored(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_beliefs(study)
    with study.engine.begin() as connection:
        for table in ("values", "params", "user_attributes", "intermediate_values"):
            connection.execute(
                text(
                    f"DELETE FROM trial_{table} WHERE trial_id IN (SELECT trial_id FROM trials WHERE number = 0)"
                )
            )
        connection.execute(text("DELETE FROM trials WHERE number = 0"))
    monkeypatch.setattr("search.trials.believing.read_beliefs", lambda study: before)
    believe(study)
    assert set(stored(study)) == set(before.by_number) - {0}


def test_everybody_goes_by_what_is_believed(study: Study, database: str) -> None:
    """Status, export, confirm, and what keeps weights: the highest score is not the best here."""
    ranked = read_beliefs(study).ranked
    highest = max(ranked, key=lambda each: each.score)
    assert highest.number != ranked[0].number
    status = read_status(study)
    assert status.best
    assert (status.best.number, status.best.believed) == (highest.number, None)
    believe(study)
    status = read_status(study)
    assert status.best
    assert status.best.number == ranked[0].number
    assert status.best.believed
    assert status.best.believed.mean == pytest.approx(ranked[0].believed.mean, abs=1e-6)
    others = [each.number for each in ranked if each.number]
    assert [each.number for each in choose_candidates(study, 3)] == [0, *others[:3]]

    point_at_weights(study, [each.number for each in ranked])
    winner = find_winner(study, database)
    assert (winner.number, winner.score, winner.remarks) == (ranked[0].number, ranked[0].score, ())
    assert isinstance(winner.belief, BelievedOfModel)
    assert winner.belief.mean == ranked[0].believed.mean
    with study.engine.begin() as connection:
        told = {"study_id": study.id, "best": 3, "recipes": []}
        dropped = set(connection.execute(UNNEEDED, told).scalars())
    assert dropped == {f"b{each.number}" for each in ranked[3:] if each.number}


def test_without_its_weights_the_next_one_is_exported_and_it_is_said(
    study: Study, database: str
) -> None:
    ranked = read_beliefs(study).ranked
    point_at_weights(study, [each.number for each in ranked[1:]])
    winner = find_winner(study, database)
    assert winner.number == ranked[1].number
    (remark,) = winner.remarks
    assert remark.startswith(f"Trial {ranked[0].number} is believed better by now (")
    assert "`search confirm` trains it again" in remark


def test_of_a_trial_that_has_just_ended_the_score_counts(study: Study) -> None:
    """So that its weights are not dropped before anything is believed of it."""
    ranked = believe(study).ranked
    newest = study.optuna.get_trials()[0]
    newest.value = 0.9
    newest.user_attrs = {}
    study.optuna.add_trial(newest)
    point_at_weights(study, [*range(25)])
    with study.engine.begin() as connection:
        told = {"study_id": study.id, "best": 2, "recipes": []}
        connection.execute(UNNEEDED, told)
        kept = set(connection.execute(text("SELECT blob FROM search_checkpoint")).scalars())
    means = sorted(ranked, key=lambda each: -each.believed.mean)
    assert kept == {"b0", "b24", f"b{means[0].number}"}


def test_whoever_is_to_be_handed_out_surely_beats_the_control(study: Study, database: str) -> None:
    """Of those that do, and without one the control itself, though others have a higher mean."""
    ranked = read_beliefs(study).ranked
    beats = [each.believed.beats_control for each in ranked]
    place = beats.index(None)
    assert ranked[place].number == 0
    assert place > 0
    assert all(each is not None and each > 0.8 for each in beats[:place])
    assert all(each is not None and each <= 0.8 for each in beats[place + 1 :])
    surely = [each.number for each in ranked[:place]]
    with study.engine.begin() as connection:
        connection.execute(
            text("""
                UPDATE trial_intermediate_values AS v SET intermediate_value = intermediate_value - 0.03
                FROM trials WHERE trials.trial_id = v.trial_id AND number = ANY(:surely)
            """),
            {"surely": surely},
        )
    again = open_study(database, study.spec.name)
    believe(again)
    ranked = read_beliefs(again).ranked
    assert ranked[0].number == 0
    assert max(each.believed.mean for each in ranked[1:]) > ranked[0].believed.mean
    point_at_weights(again, [each.number for each in ranked])
    assert find_winner(again, database).number == 0
    status = read_status(again)
    assert status.best
    assert status.best.number == 0
    again.close()


def test_of_many_trials_some_tell_and_all_are_judged(
    study: Study, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that none keeps its place, or its weights, by a score that nobody has judged."""
    monkeypatch.setattr(telling, "MOST", 6)
    monkeypatch.setattr(beliefs_module, "CHUNK", 4)
    told: list[int] = []
    built = Believer.__init__

    def counted(self: Believer, coordinates: Any, runs: Sequence[Run], *rest: Any) -> None:
        told.append(len(runs))
        built(self, coordinates, runs, *rest)

    monkeypatch.setattr(Believer, "__init__", counted)
    ranked = believe(study).ranked
    assert told == [6]
    complete = [each for each in study.optuna.get_trials() if each.state == TrialState.COMPLETE]
    assert {each.number for each in ranked} == {each.number for each in complete}
    assert set(stored(study)) == {each.number for each in complete}
    point_at_weights(study, [each.number for each in ranked])
    assert find_winner(study, database).number == ranked[0].number


def test_of_what_was_pruned_since_nothing_is_believed(study: Study) -> None:
    believe(study)
    running = study.optuna.get_trials()[5]
    assert running.state == TrialState.COMPLETE
    with study.engine.begin() as connection:
        connection.execute(text("UPDATE trials SET state = 'PRUNED' WHERE number = 5"))
    again = open_study(str(study.engine.url.render_as_string(hide_password=False)), "rocks")
    believe(again)
    assert 5 not in stored(again)
    again.close()


def test_without_a_run_of_the_control_nothing_is_said_to_beat_it(study: Study) -> None:
    with study.engine.begin() as connection:
        connection.execute(text("UPDATE trials SET state = 'FAIL' WHERE number = 0"))
    ranked = read_beliefs(study).ranked
    assert ranked
    assert {each.believed.beats_control for each in ranked} == {None}
    means = [each.believed.mean for each in ranked]
    assert means == sorted(means, reverse=True)


def test_a_space_without_a_free_field_has_a_best_trial(database: str) -> None:
    space = load_space("tiny")
    fixed = {path: Fixed(value) for path, value in flatten(space.default()).items()}
    domains = {path: fixed.get(path, domain) for path, domain in space.domains.items()}
    spec = spec_of("fixed").model_copy(
        update={"space": Space(domains, {}, space.pruning).to_dict()}
    )
    study = write_study(
        database, spec, [trial_of(n, "COMPLETE", {}, {}, [0.3, 0.5 + n / 10]) for n in range(2)]
    )
    point_at_weights(study, [0, 1])
    assert [each.number for each in choose_candidates(study, 2)] == [0]
    winner = find_winner(study, database)
    assert winner.number == 1, "both are the control, and the second network is the better one"
    study.close()


def test_nothing_is_believed_of_a_confirmation_or_before_a_score(database: str) -> None:
    first = drawn(database)
    runs = confirming_trials({0: [0.5, 0.6], 3: [0.6, 0.5]})
    confirming = write_study(database, confirming_spec(first.spec, [0, 3], 2), runs)
    assert believe(confirming) == Beliefs(())
    assert not stored(confirming)
    empty = write_study(database, first.spec.model_copy(update={"name": "empty"}), [])
    assert believe(empty) == Beliefs(())
    for each in (first, confirming, empty):
        each.close()


def test_scores_that_are_not_finite_say_nothing(study: Study) -> None:
    broken = study.optuna.get_trials()[5]
    broken.state = TrialState.RUNNING
    broken.value = None
    broken.datetime_complete = None
    broken.intermediate_values = {1: math.nan, 2: math.inf}
    study.optuna.add_trial(broken)
    found = read_beliefs(study)
    assert all(math.isfinite(each.believed.mean) for each in found.ranked)
    assert 24 not in found.by_number


def test_a_study_that_is_opened_again_believes_the_same(study: Study, database: str) -> None:
    again = open_study(database, study.spec.name)
    assert read_beliefs(again) == read_beliefs(study)
    again.close()


def cost(study: Study, multiply_adds: dict[int, int]) -> None:
    """Let trials have so many multiply-adds."""
    with study.engine.begin() as connection:
        connection.execute(
            text("""
                INSERT INTO trial_user_attributes (trial_id, key, value_json)
                SELECT trial_id, 'multiply_adds', :cost FROM trials WHERE number = :number
            """),
            [{"number": number, "cost": str(each)} for number, each in multiply_adds.items()],
        )


def test_the_probability_to_be_within_a_margin_is_that_of_the_posterior(study: Study) -> None:
    found = read_beliefs(study)
    means = np.array([each.believed.mean for each in found.ranked])
    drawn_SC = np.random.default_rng(0).multivariate_normal(
        means, found.covariances_CC, size=200_000, method="eigh"
    )
    for place in (1, 4, len(means) - 1):
        close = (drawn_SC[:, 0] - drawn_SC[:, place] <= 0.01).mean()
        assert found.within(place, 0.01) == pytest.approx(close, abs=0.01)
        assert found.within(place, 0.0) < found.within(place, 0.01) < found.within(place, 0.1)


def test_the_cheapest_that_is_close_is_exported(study: Study, database: str) -> None:
    found = read_beliefs(study)
    ranked = found.ranked
    point_at_weights(study, [each.number for each in ranked])
    cost(study, {each.number: 1000 - 10 * place for place, each in enumerate(ranked)})
    margin = 0.03
    close = [place for place in range(1, len(ranked)) if found.within(place, margin) >= 0.8]
    assert close
    assert close[-1] < len(ranked) - 1, "not all are close"
    chosen = find_winner(study, database, within=margin)
    assert chosen.number == ranked[close[-1]].number
    (remark,) = chosen.remarks
    share = (1000 - 10 * close[-1]) / 1000
    assert f"within 0.03 of the best, trial {ranked[0].number}, with a probability of 80%" in remark
    assert f"{share:.2f} of its multiply-adds" in remark
    assert find_winner(study, database).number == ranked[0].number
    assert find_winner(study, database, within=1e-6).number == ranked[0].number


def test_status_shows_what_is_cheaper(study: Study) -> None:
    assert read_status(study).front == (), "nothing is known of what they cost"
    ranked = believe(study).ranked
    cost(
        study, {each.number: 100 for each in ranked} | {ranked[2].number: 40, ranked[3].number: 70}
    )
    assert [each.number for each in read_status(study).front] == [
        ranked[0].number,
        ranked[2].number,
    ]


def test_a_front_has_nothing_that_another_beats() -> None:
    assert front([Model(0, 0.5, 9)], 1) == ()
    models = [
        Model(n, m, c)
        for n, m, c in ((0, 0.5, 9), (1, 0.6, 9), (2, 0.6, 8), (3, 0.4, 8), (4, 0.3, 2))
    ]
    assert [each.number for each in front(models, 2)] == [2, 4]
    assert [each.number for each in front(models, 1)] == [1, 2, 4], (
        "the best comes first, whatever it is"
    )
    assert [each.number for each in front(models, 0)] == [0, 2, 4]
    assert front([], 0) == ()


def test_a_control_that_failed_since_is_beaten_by_nobody(study: Study, database: str) -> None:
    """While it ran, others were compared with what it had scored by then."""
    for state, compared in (("RUNNING", True), ("FAIL", False)):
        with study.engine.begin() as connection:
            told = {"state": state}
            connection.execute(text("UPDATE trials SET state = :state WHERE number = 0"), told)
        again = open_study(database, study.spec.name)
        believe(again)
        there = stored(again)
        again.close()
        assert (0 in there) == compared
        assert any("beats_control" in each for each in there.values()) == compared


def test_of_many_only_what_has_moved_is_written(
    study: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(believing, "FIRST", 1)
    ranked = believe(study).ranked
    assert len(stored(study)) == len(ranked)
    count = {each["posterior_runs"] for each in stored(study).values()}
    assert len(count) == 1
    slightly = replace(
        Beliefs(ranked),
        ranked=tuple(
            replace(
                each,
                believed=replace(
                    each.believed,
                    mean=each.believed.mean + (0.001 if place == 2 else 0.0001),
                    runs=each.believed.runs + 1,
                ),
            )
            for place, each in enumerate(ranked)
        ),
    )
    monkeypatch.setattr(believing, "read_beliefs", lambda study: slightly)
    believe(study)
    newer = [
        number for number, each in stored(study).items() if each["posterior_runs"] not in count
    ]
    assert sorted(newer) == sorted([ranked[0].number, ranked[2].number])
