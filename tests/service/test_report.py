"""The report on studies in a real database: what is read, that nothing is left out or let in, and
the command.
"""

import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution
from sqlalchemy import Engine, event, text

from search.artifacts.pictures import PictureStore, open_pictures
from search.report.findings import find
from search.report.reading import read_study
from search.study.budget import Order
from search.study.orders import give_order
from search.study.stored import Study, open_study
from spaces import load_stored_space
from tests.support.report_pages import cells, part, report, sections, words
from tests.support.report_studies import (
    EPOCH_S,
    OVERHEAD_S,
    confirming_spec,
    confirming_trials,
    drawn,
    drawn_trials,
    multiply,
    spec_of,
    surely_best,
    tell_luck,
    trial_of,
    write_study,
)

EVIL = '<script>alert(1)</script>&"'
PNG = b"\x89PNG\r\n\x1a\n" + bytes(20)


@pytest.fixture(scope="module")
def rocks(make_database: Callable[[], str]) -> str:
    """The URL of a database with a finished study ``rocks`` of 24 trials, for tests that
    only read.
    """
    url = make_database()
    study = drawn(url, looks=2)
    tell_luck(study, 0.2)  # so that the highest score is not what is believed best
    study.close()
    return url


def test_a_study_is_read_as_it_was_written(rocks: str) -> None:
    study = open_study(rocks, "rocks")
    record = read_study(study)
    study.close()
    frozen = drawn_trials(study.space, 24)
    assert [trial.number for trial in record.trials] == list(range(24))
    assert (record.epochs, record.rungs, record.test_looks) == (8, (2,), 2)
    for trial, written in zip(record.trials, frozen, strict=True):
        assert trial.params == written.params
        assert trial.distributions == written.distributions
        assert trial.curve == tuple(written.intermediate_values.items())
        assert trial.state == {"FAIL": "failed"}.get(written.state.name, written.state.name.lower())
        assert trial.epochs == len(trial.curve)
        assert trial.train_s == EPOCH_S * trial.epochs
        assert trial.device_s == trial.train_s + OVERHEAD_S  # of the lease
        assert trial.ended_at - trial.started_at == trial.device_s
    assert record.best
    assert record.best.believed
    means = [trial.believed.mean for trial in record.of("complete") if trial.believed]
    assert len(means) == len(record.of("complete"))
    assert record.best.believed.mean == max(means)
    assert {trial.state for trial in record.trials} == {"complete", "pruned", "failed"}
    assert record.class_names == ("soil", "bedrock", "sand", "big rock")


def test_without_a_lease_the_seconds_of_its_epochs_count(database: str) -> None:
    study = drawn(database, count=3, leases=False)
    record = read_study(study)
    study.close()
    assert [trial.device_s for trial in record.trials] == [
        EPOCH_S * trial.epochs for trial in record.trials
    ]


def test_trials_under_way_are_told_apart(database: str) -> None:
    states = ("RUNNING", "RUNNING", "WAITING", "PRUNED")
    trials = [
        trial_of(number, state, {}, {}, [0.1] if state == "RUNNING" else [])
        for number, state in enumerate(states)
    ]
    trials[3].user_attrs["end_cause"] = "infeasible"
    study = write_study(database, spec_of("s"), trials)
    held = (
        "UPDATE search_lease SET expires_at = now() + interval '1 hour', renewed_at = now() - "
        "interval '100 seconds'"
    )
    with study.engine.begin() as connection:
        first = "(SELECT trial_id FROM trials WHERE number = 0)"
        connection.execute(text(f"{held} WHERE trial_id = {first}"))
    record = read_study(study)
    study.close()
    assert [trial.state for trial in record.trials] == [
        "running",
        "interrupted",
        "waiting",
        "infeasible",
    ]
    running = record.trials[0]
    # with what no renewal has counted yet
    assert running.device_s == pytest.approx(EPOCH_S + OVERHEAD_S + 100, abs=30)
    assert running.ended_at == record.read_at
    assert math.isnan(record.trials[2].started_at)


def test_the_report_of_a_finished_study(rocks: str, pictures: PictureStore, tmp_path: Path) -> None:
    study = open_study(rocks, "rocks")
    body = report(study, rocks, pictures, tmp_path / "report.html")
    findings = find(study, rocks, pictures)
    study.close()
    assert sections(body) == [
        "believable",
        "classes",
        "progress",
        "origins",
        "parameters",
        "cost",
        "trials",
    ]
    best, control = findings.study.best, findings.study.control
    assert best
    assert control
    header = words(body.find("main/header"))  # type: ignore[arg-type]
    assert "The study is over: 24 of 24 trials ended." in header
    assert f"{best.score:.3f} trial {best.number}, drawn by the sampler" in header
    reasons = words(part(body, "believable"))
    complete = findings.study.of("complete")
    highest = max(complete, key=lambda trial: trial.score)
    assert highest is not best  # else the next lines ask nothing
    assert best.believed
    assert highest.believed
    assert f"{best.score:.3f} is one score of {len(complete)} complete trials" in reasons
    worth = f"{highest.believed.mean:.3f} ± {highest.believed.sd:.3f}"
    assert f"Trial {highest.number} scored {highest.score:.3f}; by all runs" in reasons
    assert f"believed to be worth {worth}" in reasons
    expected = f"{best.believed.mean:.3f} ± {best.believed.sd:.3f}"
    assert f"the network of trial {best.number} can be expected to score {expected} on" in reasons
    assert f"to expect of its network {expected}" in header
    assert "Not confirmed" in reasons
    assert "has been opened 2 times" in reasons
    row = next(row for row in cells(part(body, "classes")) if row[0] == "big rock")
    assert row[1:3] == [f"{trial.per_class['big rock']:.3f}" for trial in (control, best)]
    rows = cells(part(body, "trials"))[1:]
    assert sorted(int(row[0]) for row in rows) == list(range(24))
    assert int(rows[0][0]) == best.number
    assert "failed: diverged the loss is not finite" in [row[1] for row in rows]
    (curves,) = (
        chart
        for chart in body.iter("svg")
        if chart.get("aria-label") == "learning curves of all trials"
    )
    marks = {path.get("class"): path.get("d", "").count("M") for path in curves.iter("path")}
    states = [trial.state for trial in findings.study.trials]
    assert [marks[f"cross {state}"] for state in ("pruned", "failed")] == [
        states.count("pruned"),
        states.count("failed"),
    ]
    assert marks["line complete"] == states.count("complete")
    assert (
        [path.get("class") for path in curves.iter("path")].count("gate")
        == len(findings.study.rungs)
        == 1
    )
    ledger = next(row for row in cells(part(body, "cost")) if row[0] == "all")
    assert ledger[1:3] == ["24", str(sum(trial.epochs for trial in findings.study.trials))]


def test_an_empty_study_says_so(database: str, pictures: PictureStore, tmp_path: Path) -> None:
    study = write_study(database, spec_of("empty"), [])
    body = report(study, database, pictures, tmp_path / "report.html")
    study.close()
    assert sections(body) == []
    assert "The study has not begun: no trial has started yet." in words(body)


def test_a_study_without_a_complete_trial_says_so(
    database: str, pictures: PictureStore, tmp_path: Path
) -> None:
    trials = [trial_of(0, "RUNNING", {}, {}, [0.1, 0.2]), trial_of(1, "WAITING", {}, {}, [])]
    study = write_study(database, spec_of("young"), trials)
    give_order(study, Order.PAUSED)
    body = report(study, database, pictures, tmp_path / "report.html")
    study.close()
    assert sections(body) == ["progress", "cost", "trials"]
    assert "The study is paused: 0 of 20 trials ended, 0 at work" in words(body)
    assert "No trial is complete yet" in words(body)


def test_no_name_becomes_markup(database: str, pictures: PictureStore, tmp_path: Path) -> None:
    spec = spec_of(EVIL, classes=(EVIL, "b")).model_copy(update={"source": EVIL, "trials": 14})
    trials = drawn_trials(load_stored_space(spec.space), 14, classes=(EVIL, "b"), prune=False)
    trials[11].user_attrs |= {"message": EVIL, "end_cause": EVIL}
    trials[2].user_attrs["recipe"] = EVIL
    for trial in trials:  # a parameter, too, by an older version of a space
        trial.params[EVIL] = EVIL if trial.number % 3 else "b"
        trial.distributions[EVIL] = CategoricalDistribution((EVIL, "b"))
    study = write_study(database, spec, trials)
    body = report(study, database, pictures, tmp_path / "report.html")
    study.close()
    assert [words(heading) for heading in body.iter("h1")] == [EVIL]
    assert f"Data: {EVIL} at 64x128" in words(body)
    for name in ("classes", "origins", "parameters", "trials"):
        assert EVIL in words(part(body, name)), name
    assert f"{EVIL} {EVIL}" in words(part(body, "trials"))  # cause and message
    assert f"{EVIL}={EVIL}" in words(part(body, "trials"))
    assert "<script" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def with_pictures(trials: list[Any], pictures: PictureStore, number: int, **files: bytes) -> None:
    for index, (name, content) in enumerate(files.items()):
        key = f"{number:08x}-{index:04x}"
        pictures._objects.write(key, content)
        meta = {
            "artifact_id": key,
            "filename": f"{name}.png",
            "mimetype": "image/png",
            "encoding": None,
        }
        trials[number].system_attrs[f"artifacts:{key}"] = json.dumps(meta)


@pytest.fixture
def pictured(database: str, pictures: PictureStore) -> Iterator[Study]:
    """A study whose control and best trial have left pictures."""
    spec = spec_of("pictured")
    trials = drawn_trials(load_stored_space(spec.space), 12)
    best = surely_best(trials).number
    with_pictures(trials, pictures, 0, predictions=PNG + b"control", confusion=PNG, curve=PNG)
    with_pictures(trials, pictures, best, predictions=PNG + b"best", confusion=b"<html>")
    assert best
    study = write_study(database, spec, trials)
    yield study
    study.close()


def test_the_pictures_of_best_and_control_are_inside(
    pictured: Study, database: str, pictures: PictureStore, tmp_path: Path
) -> None:
    body = report(pictured, database, pictures, tmp_path / "report.html")
    images = [image.get("alt", "") for image in part(body, "pictures").iter("img")]
    best = find(pictured, database, pictures).study.best
    assert best
    assert images == [
        f"Predictions of trial {best.number}",
        "Predictions of trial 0",
        "Confusion of trial 0",
    ]
    sources = [image.get("src", "") for image in part(body, "pictures").iter("img")]
    assert all(source.startswith("data:image/png;base64,iVBOR") for source in sources)


def test_lost_pictures_are_said_and_cost_nothing_else(
    pictured: Study, database: str, tmp_path: Path, pictures: PictureStore
) -> None:
    body = report(
        pictured, database, open_pictures(str(tmp_path / "elsewhere")), tmp_path / "report.html"
    )
    assert not list(part(body, "pictures").iter("img"))
    assert words(part(body, "pictures")).count("a picture could not be read") == 2
    assert not (tmp_path / "elsewhere").exists()


def test_a_confirmation_is_told(database: str, pictures: PictureStore, tmp_path: Path) -> None:
    study = drawn(database, count=9)
    scores = {0: (0.40, 0.42, 0.41), 5: (0.55, 0.56, 0.57), 8: (0.50, 0.52, 0.51)}
    confirming = write_study(
        database, confirming_spec(study.spec, list(scores), 3), confirming_trials(scores)
    )
    body = report(study, database, pictures, tmp_path / "report.html")
    rows = cells(part(body, "confirmation"))[1:4]
    assert [row[:3] for row in rows] == [
        ["trial 5", "3", "0.560"],
        ["trial 8", "3", "0.510"],
        ["trial 0, the control", "3", "0.410"],
    ]
    assert "Confirmed in 9 runs of 9 that were planned" in words(part(body, "believable"))
    assert "Not confirmed" not in words(body)
    # a study like any other
    own = report(confirming, database, pictures, tmp_path / "confirm.html")
    assert "confirmation" not in sections(own)
    study.close()
    confirming.close()


def test_a_confirmation_without_a_score_is_none_yet(
    database: str, pictures: PictureStore, tmp_path: Path
) -> None:
    study = drawn(database, count=9)
    failed = [replaced for trial in confirming_trials({0: (0.4,)}) if (replaced := _failed(trial))]
    write_study(database, confirming_spec(study.spec, [0], 1), failed).close()
    body = report(study, database, pictures, tmp_path / "report.html")
    study.close()
    assert "confirmation" not in sections(body)
    assert "Not confirmed" in words(body)


def _failed(trial: Any) -> Any:
    told = {**trial.user_attrs, "end_cause": "crashed"}
    return trial_of(
        0, "FAIL", {}, {}, [0.1], **{key: told[key] for key in ("confirms", "seed", "end_cause")}
    )


@pytest.fixture
def queries() -> Iterator[Callable[[], int]]:
    """Counts the statements that the databases of this process were given since the last count."""
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        seen.append(statement)

    def count() -> int:
        found = len(seen)
        seen.clear()
        return found

    event.listen(Engine, "before_cursor_execute", note)
    yield count
    event.remove(Engine, "before_cursor_execute", note)


def test_a_thousand_trials_cost_few_queries(
    database: str, pictures: PictureStore, tmp_path: Path, queries: Callable[[], int]
) -> None:
    spec = spec_of("many", preset="small", trials=1000)
    study = write_study(database, spec, drawn_trials(load_stored_space(spec.space), 1))
    queries()
    report(study, database, pictures, tmp_path / "one.html")
    one = queries()
    multiply(study, 1000)
    queries()
    body = report(study, database, pictures, tmp_path / "many.html")
    many = queries()
    study.close()
    rows = list(part(body, "trials").iter("tr"))
    assert len(rows) == 1001
    assert one <= 31
    assert many <= one + 5  # Optuna reads its five tables for 500 trials at a time
    assert sum(1 for _ in body.iter()) < 20_000  # elements: a browser must show it
    assert (tmp_path / "many.html").stat().st_size < 4_000_000


def test_the_command_writes_the_report(rocks: str, search: Any, tmp_path: Path) -> None:
    out = tmp_path / "new" / "report.html"
    done = search("report", "--study", "rocks", "--storage", rocks, "--out", out)
    assert done.returncode == 0, done.stderr
    assert f"report of study 'rocks', which is over: 24 of 24 trials ended: {out}" in done.stdout
    assert "<h1>rocks</h1>" in out.read_text(encoding="utf-8")
    assert [file.name for file in out.parent.iterdir()] == ["report.html"]


def test_the_command_says_in_a_line_what_it_cannot(rocks: str, search: Any, tmp_path: Path) -> None:
    absent = search(
        "report", "--study", "stones", "--storage", rocks, "--out", tmp_path / "report.html"
    )
    assert absent.returncode == 2
    assert "no study 'stones'" in absent.stderr
    folder = search("report", "--study", "rocks", "--storage", rocks, "--out", tmp_path)
    assert folder.returncode == 2
    assert "--out must be a file" in folder.stderr
    assert len(folder.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == []
