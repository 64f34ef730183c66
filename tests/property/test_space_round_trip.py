"""Laws of every space: parameters rebuild the config, encode inverts draw, storage changes nothing,
no input is a traceback.
"""

import builtins
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from objectives.config import Config
from objectives.errors import UserError
from spaces import FromParams, Space, load_space, load_stored_space, preset_names
from spaces.fields.schema import flatten, leaves_by_path
from spaces.fields.simplex import share_paths
from spaces.values import Scalar

fast = settings(max_examples=60, deadline=None)

OVERRIDES = (
    "model.depth={int: [2, 4], step: 2}",
    "model.base_filters={int: [4, 64], log: true}",
    "model.base_filters=16",
    "loss.focal=0.8",
    "loss.focal=0",
    "loss.dice={weight: always}",
    "loss.dice=0.25",
    "loss.focal_gamma=1.5",
    "loss.class_weights.kind={choice: [none, inverse_frequency, given]}",
    "loss.class_weights.values={choice: [[1, 1, 2], [1, 3, 1]]}",
    "optimiser.kind={choice: [sgd, adam]}",
    "optimiser.kind={choice: [adamw, adam, sgd]}",
    "optimiser.learning_rate={float: [1e-3, 1e-2]}",
    "schedule.kind=plateau",
    "augment.intensity=0",
    "augment.intensity={choice: [0, 0.5, 1]}",
    "train.scale={choice: [0.5, 1]}",
    "model.kind={choice: [nested_unet, double_unet, smp]}",
    "model.kind={choice: [conv_stack, deeplab]}",
    "model.heads={choice: [1, 2]}",
    "model.conv_stack.depth=0",
    "model.bottleneck=plain",
    "model.attention=scse",
    "model.decoder={choice: [unet, fpn]}",
    "second_loss.kind=mixture",
    "second_loss.kind={choice: [none, mixture]}",
    "second_loss.boundary={weight: always}",
    "second_loss.mixture.tversky={weight: optional}",
    "second_loss.cross_entropy=0.5",
    "loss.tversky={weight: optional}",
    "augment.copy_paste={choice: [0, 0.5]}",
    "optimiser.kind={choice: [lion, sgd]}",
    "optimiser.lion.weight_decay={float: [0.1, 10], log: true}",
    "pruning={kind: none}",
    "pruning={kind: top_k, keep: 2}",
    "recipes=[A5, C1]",
    "sampler=model",
    "sampler=random",
    "steps=[{model.dropout: 0.07}, {augment.intensity: 0.4, model.dropout: 0.02}]",
    "steps=[{loss: {cross_entropy: 0.7, dice: 0.3}}]",
)


@dataclass
class Arbitrary:
    """A source that answers whatever Hypothesis likes, and remembers it."""

    data: st.DataObject
    params: dict[str, Scalar] = field(default_factory=dict)

    def int(
        self,
        name: str,
        low: builtins.int,
        high: builtins.int,
        *,
        step: builtins.int = 1,
        log: bool = False,
    ) -> builtins.int:
        return self._keep(
            name, low + step * self.data.draw(st.integers(0, (high - low) // step), label=name)
        )

    def float(
        self, name: str, low: builtins.float, high: builtins.float, *, log: bool = False
    ) -> builtins.float:
        return self._keep(name, self.data.draw(st.floats(low, high), label=name))

    def choice(self, name: str, options: Sequence[Scalar]) -> Scalar:
        return self._keep(name, self.data.draw(st.sampled_from(options), label=name))

    def _keep(self, name, value):  # type: ignore[no-untyped-def]
        assert name not in self.params, f"{name} is asked twice"
        self.params[name] = value
        return value


@dataclass(frozen=True)
class FromTrial:
    """A source over a trial of Optuna."""

    trial: optuna.Trial

    def int(
        self,
        name: str,
        low: builtins.int,
        high: builtins.int,
        *,
        step: builtins.int = 1,
        log: bool = False,
    ) -> builtins.int:
        return self.trial.suggest_int(name, low, high, step=step, log=log)

    def float(
        self, name: str, low: builtins.float, high: builtins.float, *, log: bool = False
    ) -> builtins.float:
        return self.trial.suggest_float(name, low, high, log=log)

    def choice(self, name: str, options: Sequence[Scalar]) -> Scalar:
        answer = self.trial.suggest_categorical(name, options)
        assert answer is not None
        return answer


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """A preset with a few overrides; combinations that do not go together are left out."""
    name = draw(st.sampled_from(preset_names()))
    overrides: list[str] = []
    for override in draw(st.lists(st.sampled_from(OVERRIDES), max_size=5, unique=True)):
        try:
            load_space(name, [*overrides, override])
        except UserError:
            continue
        overrides.append(override)
    return load_space(name, overrides)


def assert_same(first: Config, second: Config) -> None:
    """Equal, but for rounding in the loss weights."""
    ours, theirs = flatten(first), flatten(second)
    assert ours.keys() == theirs.keys()
    for path, value in ours.items():
        assert value == (
            pytest.approx(theirs[path], abs=1e-9) if path in share_paths() else theirs[path]
        ), path


@fast
@given(space=spaces(), data=st.data())
def test_stored_parameters_rebuild_the_config_exactly(space: Space, data: st.DataObject) -> None:
    source = Arbitrary(data)
    config = space.draw(source)
    stored = json.loads(json.dumps(source.params))

    assert space.draw(FromParams(stored)) == config


@fast
@given(space=spaces(), data=st.data())
def test_encode_inverts_draw(space: Space, data: st.DataObject) -> None:
    config = space.draw(Arbitrary(data))

    assert_same(space.draw(FromParams(space.encode(config))), config)


@fast
@given(space=spaces(), data=st.data())
def test_storage_changes_nothing(space: Space, data: st.DataObject) -> None:
    restored = load_stored_space(json.loads(json.dumps(space.to_dict())))
    source = Arbitrary(data)

    assert restored == space
    assert restored.fingerprint == space.fingerprint
    assert (restored.pruning, restored.recipes) == (space.pruning, space.recipes)
    assert restored.draw(source) == space.draw(FromParams(source.params))


@fast
@given(space=spaces())
def test_the_control_lies_in_the_space(space: Space) -> None:
    assert_same(space.draw(FromParams(space.encode(space.default()))), space.default())
    assert {row.path for row in space.describe()} == space.domains.keys()


@settings(max_examples=15, deadline=None)
@given(space=spaces(), seed=st.integers(0, 2**31))
def test_a_trial_of_optuna_rebuilds_and_can_be_enqueued(space: Space, seed: int) -> None:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=seed))
    trial = study.ask()
    config = space.draw(FromTrial(trial))
    study.enqueue_trial(space.encode(config))
    study.enqueue_trial(space.encode(space.default()))
    again, control = study.ask(), study.ask()

    assert_same(space.draw(FromTrial(again)), config)
    assert_same(space.draw(FromTrial(control)), space.default())
    for finished in (trial, again, control):
        study.tell(finished, 0.5)
        rebuilt = space.draw(FromParams(study.trials[finished.number].params))
        assert rebuilt == space.draw(FromTrial(finished))


WORDS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        [
            *(
                "extends",
                "control",
                "model",
                "loss",
                "int",
                "float",
                "choice",
                "weight",
                "step",
                "log",
                "small",
                "always",
            ),
            *("pruning", "recipes", "kind", "top_k", "keep", "epoch", "all", "A5"),
            *("sampler", "model", "tpe", "steps"),
        ]
    ),
    st.sampled_from(sorted(leaves_by_path())),
)
VALUES = st.recursive(
    st.one_of(WORDS, st.integers(), st.floats(), st.booleans(), st.none()),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(WORDS, inner, max_size=3)),
    max_leaves=8,
)


def load_or_refuse(text: str, *overrides: str) -> None:
    """Loads the text as a space file; any other error than the user's own fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "space.yaml"
        file.write_bytes(text.encode(errors="surrogatepass"))
        try:
            space = load_space(str(file), overrides)
        except UserError as error:
            str(error).encode()  # can be printed
        else:
            assert load_stored_space(space.to_dict()) == space


@settings(max_examples=200, deadline=None)
@given(text=st.one_of(st.text(), st.text(alphabet="{}[]:,-&*!?#|>'\"%@ \n\tab1.", max_size=40)))
def test_no_text_is_a_traceback(text: str) -> None:
    load_or_refuse(text)


@settings(max_examples=300, deadline=None)
@given(
    tree=st.dictionaries(WORDS, VALUES, max_size=4),
    extends=st.sampled_from([*preset_names(), None]),
)
def test_no_content_is_a_traceback(tree: dict[str, object], extends: str | None) -> None:
    load_or_refuse(json.dumps({**({"extends": extends} if extends else {}), **tree}))


@settings(max_examples=200, deadline=None)
@given(
    path=WORDS,
    value=st.one_of(st.text(max_size=20), VALUES.map(json.dumps)),
    name=st.sampled_from(preset_names()),
)
def test_no_override_is_a_traceback(path: str, value: str, name: str) -> None:
    try:
        load_space(name, [f"{path}={value}"])
    except UserError as error:
        str(error).encode()


@settings(max_examples=200, deadline=None)
@given(
    stored=st.dictionaries(
        st.sampled_from(["domains", "control", "pruning", "recipes", "sampler", "x"]),
        st.one_of(VALUES, st.dictionaries(WORDS, VALUES)),
    )
)
def test_no_stored_form_is_a_traceback(stored: dict[str, object]) -> None:
    try:
        load_stored_space(stored)
    except UserError as error:
        str(error).encode()
