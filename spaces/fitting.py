"""What of a space and of the recipes goes with data: hand-set class weights are for one number of classes,
crops for frames that are not smaller.
"""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from objectives.config import GivenClassWeights, Train
from objectives.errors import Problem, ProblemsError, UserError, listed
from spaces.domains import Choice, Domain, Fixed, options_of
from spaces.fields.schema import leaves_by_path
from spaces.fields.walk import named_domain
from spaces.recipes import Recipe, choose_recipes, scaled
from spaces.source import FromParams
from spaces.space import Space
from spaces.values import Scalar, Value, plain, shown

KIND = "loss.class_weights.kind"
VALUES = "loss.class_weights.values"
CROP = "train.crop"


def fit_space(space: Space, num_classes: int) -> tuple[Space, tuple[str, ...]]:
    """Return the space without class weights for another number of classes, and what was left out,
    in lines for people.

    Raises:
        ProblemsError: The control has such weights.
    """
    (leaf,) = leaves_by_path()[VALUES]
    named = named_domain(space.domains, leaf)
    options = options_of(named[1]) if named else ()
    fitting = tuple(option for option in options if _fits(option, num_classes))
    if named is None or fitting == options:
        return space, ()
    config = space.default()
    name = named[0]
    weights = config.loss.class_weights
    if isinstance(weights, GivenClassWeights) and not _fits(weights.values, num_classes):
        raise ProblemsError("control", [_problem(f"control.{VALUES}", num_classes, weights.values)])
    narrowed = replace(space, domains=_narrowed(space.domains, name, fitting), control={}, steps=())
    unfit = (shown(plain(option)) for option in options if option not in fitting)
    lines = (
        f"{name}: {option} is left out, since the data has {num_classes} classes"
        for option in unfit
    )
    control = narrowed.encode(config)
    return replace(narrowed, control=control, steps=steps_inside(narrowed, space)), tuple(lines)


def refuse_large_crops(space: Space, sizes: Sequence[tuple[int, int]]) -> None:
    """Refuse crops that are higher and wider than every frame, of these heights and widths: what lies beyond
    is filled, and teaches nothing. Where some frames are larger, a crop may be larger than the others.

    Raises:
        ProblemsError: The space has such crops.
    """
    height, width = (max(size[axis] for size in sizes) for axis in (0, 1))
    crops = [crop for crop in options_of(space.domains[CROP]) if isinstance(crop, str)]
    large = [crop for crop in crops if _is_larger(crop, height, width)]
    if large:
        rule = f"must not be higher and wider than every frame: at most {height}x{width}"
        raise ProblemsError("space", [Problem(CROP, rule, ", ".join(large))])


def _is_larger(crop: str, height: int, width: int) -> bool:
    size = Train(crop=crop).crop_size
    return size is not None and size[0] > height and size[1] > width


def steps_inside(narrowed: Space, space: Space) -> tuple[Mapping[str, Scalar], ...]:
    """Return the steps of a space that lie in the narrowed one, too."""
    steps = []
    for step in space.steps:
        with suppress(ProblemsError):
            steps.append(narrowed.encode(space.draw(FromParams(step))))
    return tuple(steps)


def _narrowed(
    domains: Mapping[str, Domain], name: str, fitting: tuple[Value, ...]
) -> dict[str, Domain]:
    """Return the domains with the fitting lists of weights alone; without any, no trial has given
    weights.
    """
    if fitting:
        return {**domains, name: _domain(fitting)}
    # not empty: the control has one of them
    others = tuple(kind for kind in options_of(domains[KIND]) if kind != "given")
    return {path: domain for path, domain in domains.items() if path != name} | {
        KIND: _domain(others)
    }


def fit_recipes(
    wanted: str,
    space: Space,
    num_classes: int,
    filters: float = 1.0,
    *,
    learns_ignored: bool | None = None,
) -> tuple[tuple[Recipe, ...], tuple[str, ...]]:
    """Return the recipes that a study of this space tries, and those that ``all`` leaves out, in
    lines for people.

    Each has ``filters`` times its filters. ``learns_ignored`` says whether the study trains on the
    label that it leaves out of the score; None, where there is no such label. A recipe of a system
    that differed there is left out by ``all``; asked for by name it trains as the study does, and a
    line says so.

    Raises:
        UserError: No such recipe, or one that was asked for by name cannot run on this data.
        ProblemsError: Some lie outside the space, every field of each.
    """
    chosen = choose_recipes(wanted)
    every = "all" in [word.strip() for word in wanted.lower().split(",")]
    unfit = [recipe for recipe in chosen if not recipe.fits(num_classes)]
    names = ", ".join(recipe.name for recipe in unfit)
    if unfit and not every:
        raise UserError(
            f"{names}: the class weights are not for {num_classes} classes, which the data has; "
            f"leave out, or ask for all"
        )
    differing = [
        recipe
        for recipe in chosen
        if learns_ignored not in (None, recipe.learns_ignored) and recipe not in unfit
    ]
    gone = [*unfit, *(differing if every else [])]
    chosen = tuple(scaled(recipe, filters) for recipe in chosen if recipe not in gone)
    problems = [problem for recipe in chosen for problem in _outside(recipe, space)]
    if problems:
        raise ProblemsError("recipes outside the study's space", problems)
    lines = [f"left out, since the data has {num_classes} classes: {names}"] if unfit else []
    return chosen, (*lines, *([_difference(differing, left_out=every)] if differing else []))


def _difference(differing: Sequence[Recipe], *, left_out: bool) -> str:
    """Return what is done with recipes of systems that took the ignored label otherwise than the
    study does, and why.
    """
    done = "left out" if left_out else "trained otherwise than reported"
    if differing[0].learns_ignored:
        why = (
            "their systems learnt the ignored label, too: --ignore none, with the other labels "
            "in --scored"
        )
    else:
        why = (
            "their systems did not learn the label that this study has in its loss by --ignore none"
        )
    return f"{done}, since {why}: {listed(recipe.name for recipe in differing)}"


def _outside(recipe: Recipe, space: Space) -> list[Problem]:
    try:
        space.encode(space.paced(recipe.config))
    except ProblemsError as error:
        return [
            Problem(f"{recipe.name}, {problem.where}", problem.rule, problem.value)
            for problem in error.problems
        ]
    return []


def _fits(weights: Value, num_classes: int) -> bool:
    return isinstance(weights, tuple) and len(weights) == num_classes


def _domain(options: tuple[Value, ...]) -> Domain:
    return Choice(options) if len(options) > 1 else Fixed(options[0])


def _problem(path: str, num_classes: int, weights: Value) -> Problem:
    return Problem(
        path,
        f"the data has {num_classes} classes and needs one weight for each",
        shown(plain(weights)),
    )
