"""What is stored with a trial is read as it was written."""

import json

from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import TrialState, create_trial

from objectives.device.processor import Processor
from search.study.record import CAUSE, MESSAGE, ConfirmationRun, Expected, Notes, Original

WORDS = st.text(max_size=8)
COUNTS = st.integers(0, 2**40)
SHARES = st.floats(0, 1)

NOTES = st.builds(
    Notes,
    recipe=WORDS,
    confirmed=st.none() | st.builds(ConfirmationRun, COUNTS, COUNTS),
    original=st.none() | st.builds(Original, WORDS, COUNTS, COUNTS),
    expected=st.none() | st.builds(Expected, WORDS, SHARES, SHARES),
    parameters=COUNTS,
    multiply_adds=COUNTS,
    memory_bytes=COUNTS,
    pruned=st.booleans(),
    cause=WORDS,
    message=WORDS,
    device=WORDS,
    epochs=COUNTS,
    best_epoch=COUNTS,
    train_s=st.floats(0, 1e6),
    losses=st.lists(SHARES, max_size=3).map(tuple),
    per_class=st.dictionaries(WORDS, SHARES, max_size=3),
    scored_on=st.none() | st.builds(Processor, WORDS, WORDS, COUNTS),
    places=WORDS,
    fitted=st.booleans(),
)


@given(NOTES)
def test_what_was_written_is_read(notes: Notes) -> None:
    stored = json.loads(json.dumps(notes.attributes()))  # as the database keeps it
    assert Notes.of(create_trial(state=TrialState.COMPLETE, value=0.5, user_attrs=stored)) == notes


@given(NOTES, NOTES)
def test_parts_that_are_written_one_after_the_other_add_up(first: Notes, then: Notes) -> None:
    both = Notes.read(first.attributes() | then.attributes())
    assert both.recipe == (then.recipe or first.recipe)
    assert both.epochs == (then.epochs or first.epochs)
    assert both.confirmed == (then.confirmed or first.confirmed)
    assert both.per_class == {**first.per_class, **then.per_class}


def test_nothing_is_written_of_nothing() -> None:
    assert Notes().attributes() == {}
    assert Notes.read({"somebody's": "note"}) == Notes()


def test_the_verdict_is_written_last() -> None:
    notes = Notes(
        cause="infeasible",
        message="too wide",
        epochs=3,
        per_class={"rock": 0.5},
        scored_on=Processor("cpu", "x", 2),
    )
    assert list(notes.attributes())[-2:] == [CAUSE, MESSAGE]
    assert notes.attributes()["iou rock"] == 0.5
    assert notes.attributes()["threads"] == 2
