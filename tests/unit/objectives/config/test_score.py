"""The names of scores: what each means, how it is written again, and what cannot be one."""

import re
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from objectives.config.measures import measure_problems
from objectives.config.score import Score
from objectives.data.spec import FrameSpec
from objectives.errors import ProblemsError, UserError
from search.cli.values import parse_score
from tests.support.frame_specs import frame_spec

NAMES = ("ground", "soil", "bed rock", "sand", "7")
SCORED = (1, 2, 4)
SPEC = frame_spec((8, 8), NAMES, scored=SCORED)
words = st.text("abc é-._", min_size=1, max_size=6).filter(lambda text: text == text.strip())
weights = st.floats(1e-6, 1e6) | st.integers(1, 9).map(float)
scores = st.builds(
    Score,
    st.sampled_from(["iou", "recall", "f2"]),
    st.just("mean"),
    st.dictionaries(words, weights, max_size=4).map(lambda each: tuple(sorted(each.items()))),
    st.sampled_from([0.0, 0.02, 0.005, 1.0]),
)


@given(scores)
def test_a_score_is_read_as_it_is_written(score: Score) -> None:
    assert Score.read(str(score)) == score


@pytest.mark.parametrize(
    ("text", "written", "told", "title"),
    [
        ("iou", "iou", "mean IoU", "Mean IoU"),
        ("dice", "dice", "mean Dice", "Mean Dice"),
        ("f2", "f2", "mean f2", "Mean f2"),
        ("least-recall", "least-recall", "least recall", "Least recall"),
        ("iou:soil", "iou:soil", "IoU of soil", "IoU of soil"),
        ("iou:4", "iou:4", "IoU of label 4", "IoU of label 4"),
        ("dice:sand,soil", "dice:sand,soil", "mean Dice of sand, soil", None),
        (
            "iou:soil=1.0, bed rock=3,04=.5",
            "iou:bed rock=3,soil,4=0.5",
            "weighted mean IoU of bed rock (3), soil (1), label 4 (0.5)",
            None,
        ),
        ("iou:soil=2,sand=2", "iou:sand=2,soil=2", "mean IoU of sand, soil", None),
        ("least-dice:a,b", "least-dice:a,b", "least Dice of a, b", None),
        ("iou:a=2,b,c,d,e", "iou:a=2,b,c,d,e", "weighted mean IoU of 5 classes", None),
        ("iou:a=b=2", "iou:a=b=2", "IoU of a=b", None),
        ("boundary-iou", "boundary-iou", "mean boundary IoU", None),
        ("boundary-iou@.020", "boundary-iou", "mean boundary IoU", None),
        ("least-boundary-dice", "least-boundary-dice", "least boundary Dice", None),
        (
            "boundary-iou@0.01:soil",
            "boundary-iou@0.01:soil",
            "boundary IoU (0.01 of the diagonal) of soil",
            "Boundary IoU (0.01 of the diagonal) of soil",
        ),
    ],
)
def test_it_has_one_writing_and_says_what_it_is(
    text: str, written: str, told: str, title: str | None
) -> None:
    score = Score.read(text)
    assert (str(score), parse_score(text), score.words) == (written, written, told)
    assert score.title == (title or f"{told[0].upper()}{told[1:]}")
    assert text == "f2" or not list(measure_problems(text))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "must be like iou"),
        ("IoU", "must be like iou"),
        ("iou:", "must be like iou"),
        ("iou:,", "must be like iou"),
        ("iou:soil,soil=2", "where each class stands once"),
        ("iou:soil=", "must be like iou"),
        ("iou:=3", "must be like iou"),
        ("iou:soil=x", "must be like iou"),
        ("iou:soil=0", "must have weights above 0"),
        ("iou:soil=-1", "must have weights above 0"),
        ("iou:soil=nan", "must have weights above 0"),
        ("iou:soil=inf", "must have weights above 0"),
        ("least-recall:soil=2,sand", "must have no weights where the least class counts"),
        ("least-", "must be like iou"),
        ("boundary-", "must be like iou"),
        ("boundary-least-iou", "must be like iou"),
        ("boundary-iou@", "must be like iou"),
        ("boundary-iou@0.1.2", "must be like iou"),
        ("boundary-iou@0", "must have a distance above 0, at most 1, of the diagonal"),
        ("boundary-iou@1.5", "must have a distance above 0, at most 1, of the diagonal"),
        ("iou@0.02", "must have a distance, @, of a boundary score alone"),
        ("iou:a\nb", "must be like iou"),
        ("iou:" + "a" * 30_001, "must be like iou"),
    ],
)
def test_what_cannot_be_a_score_is_one_line(text: str, said: str) -> None:
    with pytest.raises(UserError, match=re.escape(said)) as refused:
        parse_score(text)
    assert len(str(refused.value)) < 700
    assert "\n" not in str(refused.value)
    (problem,) = measure_problems(text)
    assert said in str(problem)
    with pytest.raises(ValueError, match=re.escape(said)):
        FrameSpec.model_validate(SPEC.model_dump() | {"measure": text})


def test_classes_are_named_or_numbered() -> None:
    score = Score.read("iou:4=3,bed rock,soil=2")
    assert score.weights(NAMES) == ((1, 2.0), (2, 1.0), (4, 3.0))
    assert not list(score.class_problems(NAMES, SCORED))
    assert Score.read("dice").weights(NAMES) == ()
    spec = SPEC.model_copy(update={"measure": str(score)})
    assert spec.counting == (1, 2, 4)
    assert spec.scoring.weights == score.weights(NAMES)
    assert SPEC.counting == SPEC.scored == SPEC.scoring.counting
    assert score.definition(NAMES, (1, 4)) == "weighted mean IoU of soil (2), 7 (3)"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("iou:rocks", "must be of scored classes: 1 (soil), 2 (bed rock), 4 (7), got rocks"),
        ("iou:soil,ground=2", "got ground"),
        ("iou:sand", "got sand"),
        ("iou:7", "got 7"),  # a number is a label
        ("iou:9", "got 9"),
        ("iou:soil,1=2", "where each class stands once, got 1 again"),
    ],
)
def test_a_class_that_is_not_scored_is_refused_and_the_scored_ones_are_named(
    text: str, said: str
) -> None:
    with pytest.raises(ProblemsError, match=re.escape(said)):
        FrameSpec.model_validate(SPEC.model_dump() | {"measure": text})


def test_a_look_at_a_score_waits_for_no_numpy() -> None:
    program = "import sys, objectives.config.score; assert 'numpy' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], check=True)
