"""One layer of a space as it was written: a preset, a user's file, or the ``--set`` options; later
layers win.
"""

import difflib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TypeVar

from objectives.errors import Problem, UserError
from spaces.domains import Domain, Fixed, Weight
from spaces.fields.schema import FIXED_PER_STUDY, leaves, leaves_by_path
from spaces.fields.simplex import share_paths, simplices
from spaces.files.notation import is_domain, read_domain
from spaces.pruning import Pruning, read_pruning
from spaces.recipes import choose_recipes
from spaces.sampler import Sampler, read_sampler
from spaces.values import Value, shown

_CONTROL = "control."
ABOUT_STUDIES = ("pruning", "recipes", "sampler", "steps")  # what a file says besides its fields

Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Layer:
    """Domains and control values by field path, in the notation's bounds but not yet checked
    against the config.

    ``pruning``, ``recipes``, ``sampler`` and ``steps`` (the values by which each differs from the
    control) are None where this layer leaves them to the one below.
    """

    domains: Mapping[str, Domain]
    control: Mapping[str, Value]
    pruning: Pruning | None = None
    recipes: tuple[str, ...] | None = None
    sampler: Sampler | None = None
    steps: tuple[Mapping[str, Value], ...] | None = None


def read_layer(written: Mapping[str, object]) -> tuple[Layer, list[Problem]]:
    """Return the layer that is written, and every problem in it.

    It may hold flat paths, nested sections, and the sections ``control``, ``pruning``, ``recipes``,
    ``sampler`` and ``steps``.
    """
    fields = {key: value for key, value in written.items() if key not in ABOUT_STUDIES}
    domains, control, problems = _read_fields(fields)
    pruning = read_pruning(written["pruning"]) if "pruning" in written else None
    recipes = _read_recipes(written["recipes"]) if "recipes" in written else None
    sampler = read_sampler(written["sampler"]) if "sampler" in written else None
    steps = None
    if "steps" in written:
        steps, more = _read_steps(written["steps"])
        problems += more
    for part in (pruning, recipes, sampler):
        problems += part if isinstance(part, list) else []
    return Layer(
        domains,
        control,
        pruning=None if isinstance(pruning, list) else pruning,
        recipes=None if isinstance(recipes, list) else recipes,
        sampler=None if isinstance(sampler, list) else sampler,
        steps=steps,
    ), problems


def _read_fields(
    written: Mapping[str, object],
) -> tuple[dict[str, Domain], dict[str, Value], list[Problem]]:
    """Domains and control values by field path, and every problem in them."""
    domains: dict[str, Domain] = {}
    control: dict[str, Value] = {}
    problems: list[Problem] = []
    seen: set[str] = set()
    for written_path, value in _flat(written, ""):
        path = _drawn_path(written_path)
        domain = _unknown(path, value) or read_domain(path, value)
        if path in seen:
            problems.append(Problem(shown(path), "must be given once", shown(value)))
        elif isinstance(domain, Problem):
            problems.append(domain)
        elif broken := _broken_rule(path, domain):
            problems.append(Problem(path, broken, shown(value)))
        elif isinstance(domain, Fixed) and path.startswith(_CONTROL):
            control[path.removeprefix(_CONTROL)] = domain.value
        else:
            domains[path] = domain
        seen.add(path)
    return domains, control, problems


def _read_recipes(written: object) -> tuple[str, ...] | list[Problem]:
    """Return the names of recipes as they were written: ``all``, or a list of rows and names."""
    wanted = [written] if written == "all" else written
    if not isinstance(wanted, list) or not all(isinstance(name, str) for name in wanted):
        return [Problem("recipes", "must be all, or a list like [A5, C1]", shown(written))]
    try:
        if wanted:
            choose_recipes(",".join(wanted))
    except UserError as error:
        return [Problem("recipes", str(error), shown(written))]
    return tuple(wanted)


def _read_steps(written: object) -> tuple[tuple[Mapping[str, Value], ...], list[Problem]]:
    """Return the values of each step, by field path, and every problem in them."""
    rule = "must be a list of what steps change of the control, like [{train.batch_size: 8}]"
    if not isinstance(written, list):
        return (), [Problem("steps", rule, shown(written))]
    steps: list[Mapping[str, Value]] = []
    problems: list[Problem] = []
    for number, step in enumerate(written, start=1):
        if not isinstance(step, Mapping) or not step:
            problems.append(Problem(step_path(number), rule, shown(step)))
            continue
        _, values, more = _read_fields({_CONTROL.removesuffix("."): step})
        steps.append(values)
        problems += [
            Problem(
                step_path(number, each.where.removeprefix(_CONTROL)),
                each.rule.replace(_CONTROL, ""),
                each.value,
            )
            for each in more
        ]
    return tuple(steps), problems


def step_path(number: int, path: str = "") -> str:
    """Return how a step is named, or a field of it, the first as 1."""
    return f"steps[{number}]{'.' if path else ''}{path}"


def _drawn_path(path: str) -> str:
    """Return the path itself, but for a term of a mixture the one under which it is drawn."""
    prefix = _CONTROL if path.startswith(_CONTROL) else ""
    name = path.removeprefix(prefix)
    return f"{prefix}{share_paths().get(name, name)}"


def merge(earlier: Mapping[str, Entry], later: Mapping[str, Entry]) -> dict[str, Entry]:
    """Entries by path, the later ones winning: a shared path also replaces what single variants had
    of their own.
    """
    replaced = {
        leaf.own_path for path in later for leaf in leaves_by_path()[path] if leaf.path == path
    }
    return {path: value for path, value in earlier.items() if path not in replaced} | dict(later)


def _flat(written: Mapping[str, object], prefix: str) -> Iterator[tuple[str, object]]:
    for key, value in written.items():
        path = f"{prefix}{key}"
        if isinstance(value, Mapping) and path in _sections() and not is_domain(value):
            yield from _flat(value, f"{path}.")
        elif not (value is None and path in _sections()):  # an empty section says nothing
            yield path, value


def _broken_rule(path: str, domain: Domain) -> str | None:
    """Return what is wrong with this kind of domain at this path, or None."""
    if path.startswith(_CONTROL) and not isinstance(domain, Fixed):
        return "must be a plain value, since the control is one config"
    if path in share_paths() and not isinstance(domain, Fixed | Weight):
        return (
            "must be {weight: optional}, {weight: always} or a plain weight, since the loss "
            "terms share a sum of 1"
        )
    if path not in share_paths() and isinstance(domain, Weight):
        return (
            f"must not be a weight, which only the terms of "
            f"{' and '.join(each.section for each in simplices())} are"
        )
    if path in FIXED_PER_STUDY and not isinstance(domain, Fixed):
        return "must be a plain value, since it is the same for all trials of a study"
    return None


def _unknown(path: str, value: object) -> Problem | None:
    known = leaves_by_path()
    name = path.removeprefix(_CONTROL)
    if name in known:
        return None
    if path in _sections():
        fields = dict.fromkeys(
            f"{prefix}{leaf.path}" for prefix in ("", _CONTROL) for leaf in leaves()
        )
        inside = [field for field in fields if field.startswith(f"{path}.")]
        return Problem(
            path, f"is a section, give its fields ({', '.join(inside[:3])}, ...)", shown(value)
        )
    guesses = [field for field in known if field.endswith(f".{name}")] or difflib.get_close_matches(
        name, known, 1
    )
    hint = f"did you mean {guesses[0]}?" if guesses else "see `search space show` for the fields"
    return Problem(shown(path), f"must be a field of the config ({hint})", shown(value))


@functools.cache
def _paths() -> tuple[str, ...]:
    return tuple(f"{prefix}{path}" for prefix in ("", _CONTROL) for path in leaves_by_path())


@functools.cache
def _sections() -> frozenset[str]:
    """Return every path that is no field itself but holds fields: ``model``,
    ``loss.class_weights``, ``control``, ...
    """
    return frozenset(
        path[:dot] for path in _paths() for dot, letter in enumerate(path) if letter == "."
    )
