"""Reads a space: a preset by name or a user's YAML file, and ``--set`` options over it."""

import functools
from collections.abc import Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from objectives.errors import Problem, ProblemsError, UserError, one_line
from spaces.files.control import check_control, choose_control, choose_steps
from spaces.files.layer import Layer, read_layer
from spaces.files.resolve import resolve_domains
from spaces.pruning import PRUNING_BY_DEFAULT, check_length
from spaces.sampler import SAMPLER_BY_DEFAULT
from spaces.space import Space
from spaces.values import shown
from spaces.yaml_text import Tree, read_yaml


def preset_names() -> tuple[str, ...]:
    """Return the presets that ship, by name."""
    return tuple(
        sorted(
            file.name.removesuffix(".yaml")
            for file in _presets().iterdir()
            if file.name.endswith(".yaml")
        )
    )


def load_space(name_or_path: str, overrides: Sequence[str] = ()) -> Space:
    """Return the space of a preset or a file, with ``path=domain`` overrides applied.

    Raises:
        ProblemsError: Every problem at once, each with its path, rule and value.
        UserError: No such preset or file.
    """
    layers, problems = (
        _preset_layers(name_or_path)
        if name_or_path in preset_names()
        else _file_layers(name_or_path)
    )
    if overrides:
        layer, more = _override_layer(overrides)
        layers, problems = [*layers, layer], problems + more
    space, more = _assemble(layers, problems)
    if more:
        raise ProblemsError(f"space {_named(name_or_path)}", more)
    return space


def _assemble(layers: Sequence[Layer], problems: Sequence[Problem]) -> tuple[Space, list[Problem]]:
    """Return the space of the layers, and every problem, those of reading them included; with
    problems it is of no use.
    """
    pruning = next(
        (layer.pruning for layer in reversed(layers) if layer.pruning is not None),
        PRUNING_BY_DEFAULT,
    )
    recipes = next((layer.recipes for layer in reversed(layers) if layer.recipes is not None), ())
    sampler = next(
        (layer.sampler for layer in reversed(layers) if layer.sampler is not None),
        SAMPLER_BY_DEFAULT,
    )
    domains, unfit = resolve_domains(layers, own=frozenset(layers[-1].domains))
    all_problems = [
        *problems,
        *unfit,
        *(problem for layer in layers for problem in check_control(layer)),
    ]
    if all_problems:
        return Space(domains, {}, pruning, recipes, sampler), all_problems
    control, vain = choose_control(domains, layers)
    steps, unfit = choose_steps(domains, layers, control)
    space = Space(domains, control, pruning, recipes, sampler, steps)
    return space, [*vain, *unfit, *check_length(pruning, space.default().train.epochs)]


def _presets() -> Traversable:
    return resources.files("spaces") / "presets"


# reading the larger presets takes a tenth of a second; callers extend neither list
@functools.cache
def _preset_layers(name: str) -> tuple[list[Layer], list[Problem]]:
    return _layers((_presets() / f"{name}.yaml").read_text(encoding="utf-8"), f"preset {name}")


def _file_layers(path: str) -> tuple[list[Layer], list[Problem]]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        known = ", ".join(preset_names())
        raise UserError(
            f"no space named {_named(path)}: give a preset ({known}) or the path of a YAML file"
        ) from None
    except OSError as error:
        raise UserError(
            f"space file {_named(path)} cannot be read: {error.strerror or error}"
        ) from None
    except ValueError:  # not UTF-8, or a path with a null byte
        raise UserError(
            f"space file {_named(path)} cannot be read: a path and text in UTF-8 are needed"
        ) from None
    return _layers(text, _named(path))


def _named(path: str) -> str:
    return one_line(path) or '""'


def _layers(text: str, where: str) -> tuple[list[Layer], list[Problem]]:
    """Return the layers of a text: those of the preset that it extends, and its own."""
    tree, problems = read_yaml(text, where)
    if problems:
        return [Layer({}, {})], problems
    if not isinstance(tree, dict | None):
        return [Layer({}, {})], [
            Problem(where, "must hold field paths with their domains", shown(tree))
        ]
    written = dict(tree or {})
    below, problems = _extended(written.pop("extends", None))
    layer, more = read_layer(written)
    return [*below, layer], problems + more


def _extended(name: Tree) -> tuple[list[Layer], list[Problem]]:
    if name is None:
        return [], []
    if not isinstance(name, str) or name not in preset_names():
        return [], [
            Problem("extends", f"must be a preset ({', '.join(preset_names())})", shown(name))
        ]
    return _preset_layers(name)


def _override_layer(overrides: Sequence[str]) -> tuple[Layer, list[Problem]]:
    written: dict[str, object] = {}
    problems: list[Problem] = []
    for override in overrides:
        path, equals, text = override.partition("=")
        path = path.strip()
        value, more = read_yaml(text, f"--set {shown(path)}")
        problems += more
        if not equals or not path:
            problems.append(
                Problem("--set", "must be FIELD=VALUE, as in model.depth=3", shown(override))
            )
        elif not more:
            written[path] = value  # the last one wins, as with every repeated option
    layer, more = read_layer(written)
    return layer, problems + more
