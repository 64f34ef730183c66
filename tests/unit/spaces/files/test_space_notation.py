"""The written form of a domain: what is read, what is refused, and that it is written back the
same.
"""

import pytest

from objectives.errors import Problem
from spaces.domains import Choice, Fixed, Float, Int, Weight
from spaces.files.notation import read_domain

READ = [
    ({"int": [2, 5]}, Int(2, 5)),
    ({"int": [2, 8], "step": 3}, Int(2, 8, step=3)),
    ({"int": [1, 64], "log": True}, Int(1, 64, log=True)),
    ({"int": [3, 3]}, Fixed(3)),
    ({"float": [0, 1]}, Float(0.0, 1.0)),
    ({"float": [1e-4, 1e-2], "log": True}, Float(1e-4, 1e-2, log=True)),
    ({"float": [0.5, 0.5]}, Fixed(0.5)),
    ({"choice": [8, 16, 32]}, Choice((8, 16, 32))),
    ({"choice": [[1, 2], [1, 1]]}, Choice(((1, 2), (1, 1)))),
    ({"choice": ["unet"]}, Fixed("unet")),
    ({"weight": "optional"}, Weight(optional=True)),
    ({"weight": "always"}, Weight(optional=False)),
    (0.8, Fixed(0.8)),
    ([1, 0.5], Fixed((1, 0.5))),
    (False, Fixed(False)),
]


@pytest.mark.parametrize(("written", "domain"), READ)
def test_reads_each_form_and_writes_it_back(written: object, domain: object) -> None:
    read = read_domain("field", written)

    assert read == domain
    assert not isinstance(read, Problem)
    assert read_domain("field", read.to_yaml()) == read


BROKEN = [
    ({"int": [5, 2]}, "low must not exceed high (low=5, high=2)"),
    ({"int": [2]}, "two ends"),
    ({"int": 3}, "two ends"),
    ({"int": [2, 5.5]}, "whole numbers, not 5.5"),
    ({"int": [True, 5]}, "whole numbers, not true"),
    ({"int": [0, 5], "log": True}, "log needs a low above 0"),
    ({"int": [2, 5], "step": 2}, "step must be at least 1 and lead from low to high"),
    ({"int": [2, 5], "step": 0}, "step must be at least 1"),
    ({"int": [2, 4], "step": 2, "log": True}, "either a step or log"),
    ({"int": [2, 10**400]}, "whole numbers"),
    ({"float": ["1", 2]}, "finite numbers, not 1"),
    ({"float": [0, float("inf")]}, "finite numbers"),
    ({"float": [0, float("nan")]}, "finite numbers"),
    ({"float": [0, 1], "log": True}, "log needs a low above 0"),
    ({"float": [1, 2], "log": "yes"}, "log must be true or false"),
    ({"float": [1, 2], "step": 1}, "knows log beside float, not step"),
    ({"choice": []}, "at least one option"),
    ({"choice": "abc"}, "must be a list"),
    ({"choice": [8, 8]}, "twice"),
    ({"choice": [1, 1.0]}, "twice"),
    ({"choice": [{"a": 1}]}, "must be {int"),
    ({"weight": "sometimes"}, "optional or always"),
    ({"itn": [2, 5]}, "must be {int"),
    ({"int": [2, 5], "float": [0, 1]}, "must be {int"),
    (None, "must be {int"),
    ([[1], 2], "must be {int"),
]


@pytest.mark.parametrize(("written", "rule"), BROKEN)
def test_refuses_a_broken_form_with_its_rule(written: object, rule: str) -> None:
    problem = read_domain("model.depth", written)

    assert isinstance(problem, Problem)
    assert problem.where == "model.depth"
    assert rule in problem.rule


def test_true_and_one_are_different_options() -> None:
    assert read_domain("field", {"choice": [True, 1]}) == Choice((True, 1))


@pytest.mark.parametrize(
    ("domain", "wish", "nearest"),
    [
        (Int(2, 8, step=3), 9, 8),
        (Int(2, 8, step=3), 4, 5),
        (Int(2, 8), 0, 2),
        (Int(2, 8), None, 2),
        (Float(0.1, 0.9), 3.0, 0.9),
        (Float(0.1, 0.9), 0.5, 0.5),
        (Choice((8, 16, 32)), 20, 16),
        (Choice(("a", "b")), "c", "a"),
        (Choice(("a", "b")), "b", "b"),
        (Choice((0.5, "x")), None, 0.5),
        (Fixed(3), 5, 3),
    ],
)
def test_nearest_value_of_a_domain(
    domain: Int | Float | Choice | Fixed, wish: object, nearest: object
) -> None:
    assert domain.nearest(wish) == nearest  # type: ignore[arg-type]
    assert domain.holds(domain.nearest(wish))  # type: ignore[arg-type]
