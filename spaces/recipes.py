"""Recipes: the systems of the five course reports as named configs, one file of ``spaces/recipes``
a report.
"""

import difflib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from importlib import resources
from importlib.resources.abc import Traversable

from pydantic import Field

from objectives.config import Config, Frozen, GivenClassWeights
from objectives.errors import UserError
from spaces.values import shown
from spaces.yaml_text import read_yaml

FEWEST_FILTERS = 4
SCALED = (
    "model.base_filters",
    "model.nested_unet.base_filters",
    "model.double_unet.base_filters",
    "model.mask_filters",
)
FEWER = "{int: [4, 64], step: 4}"  # where scaled filters lie
_NO_REPORTS = ("base.yaml", "ensembles.yaml")


@dataclass(frozen=True)
class Recipe:
    """One system of a report.

    ``reported`` are its scores there, mean IoU in percent by the part of the data, or IoU by the
    name of a class; ``note`` says how what is unclear was read. ``learns_ignored`` says that there
    the label which the data ignore took part in the loss.
    """

    name: str  # row, hyphen, short name
    row: str
    report: str
    reported: Mapping[str, float]
    note: str
    config: Config
    learns_ignored: bool = False

    def fits(self, num_classes: int) -> bool:
        """Return whether the recipe can run on data with so many classes: a list of class weights
        is for one number of them.
        """
        weights = self.config.loss.class_weights
        return not isinstance(weights, GivenClassWeights) or len(weights.values) == num_classes


@dataclass(frozen=True)
class EnsembleOfRecipes:
    """An even average of systems of a report; ``reported`` as of a recipe."""

    name: str  # its row
    members: tuple[Recipe, ...]
    reported: Mapping[str, float]


@functools.cache
def load_recipes() -> tuple[Recipe, ...]:
    """Return every recipe that ships, in the order of the reports and their rows."""
    folder = resources.files("spaces") / "recipes"
    base = _read(folder / "base.yaml")
    reports = sorted(
        (file for file in folder.iterdir() if file.name not in _NO_REPORTS),
        key=lambda file: file.name,
    )
    return tuple(recipe for file in reports for recipe in _recipes_of(_read(file), base))


@functools.cache
def load_ensembles() -> tuple[EnsembleOfRecipes, ...]:
    """Return every ensemble of recipes that a report has a score of."""
    entries = _read(resources.files("spaces") / "recipes" / "ensembles.yaml")
    written = {name: _EnsembleEntry.model_validate(entry) for name, entry in entries.items()}
    return tuple(
        EnsembleOfRecipes(
            name, tuple(choose_recipes(row)[0] for row in entry.members), entry.reported
        )
        for name, entry in written.items()
    )


def choose_recipes(wanted: str) -> tuple[Recipe, ...]:
    """Return the recipes that ``all``, or rows and names with commas between them, mean; each once,
    in the order of the reports.

    Raises:
        UserError: There is no such recipe, with those whose names are near.
    """
    words = [word.strip().lower() for word in wanted.split(",")]
    for word in words:
        if word != "all" and not any(word in _words(recipe) for recipe in load_recipes()):
            raise UserError(f"no recipe {shown(word)}: {_hint(word)}")
    return tuple(
        recipe for recipe in load_recipes() if not {"all", *_words(recipe)}.isdisjoint(words)
    )


def scaled(recipe: Recipe, scale: float) -> Recipe:
    """Return the recipe with ``scale`` times the filters of each level, in steps of four; encoders
    by name stay as they are.

    Raises:
        UserError: The scale is not in (0, 1].
    """
    if not 0.0 < scale <= 1.0:
        raise UserError(f"a scale of filters must be above 0 and at most 1, got {scale:g}")
    model = recipe.config.model
    counts = {
        name: value
        for name, value in model.model_dump().items()
        if name in ("base_filters", "mask_filters")
    }
    fewer = {
        name: max(FEWEST_FILTERS, round(count * scale / 4) * 4) for name, count in counts.items()
    }
    return replace(
        recipe, config=recipe.config.model_copy(update={"model": model.model_copy(update=fewer)})
    )


def implied_sets(epochs: int, scale: float) -> tuple[str, ...]:
    """Return the settings of a space in which recipes of so many epochs and so scaled
    filters lie.
    """
    return f"train.epochs={epochs}", *(f"{path}={FEWER}" for path in SCALED if scale < 1.0)


class _Entry(Frozen):
    """A recipe as it is written: ``config`` is laid over that of the recipe ``extends``, or over
    the base.
    """

    extends: str = ""
    reported: dict[str, float] = Field(default_factory=dict)
    note: str = ""
    learns_ignored: bool | None = None  # None: as the recipe that it extends
    config: dict[str, object] = Field(default_factory=dict)


class _EnsembleEntry(Frozen):
    """An ensemble as it is written: the rows of its members."""

    members: tuple[str, ...]
    reported: dict[str, float]


def _read(file: Traversable) -> dict[str, object]:
    tree, problems = read_yaml(file.read_text(encoding="utf-8"), file.name)
    assert not problems, problems
    assert isinstance(tree, dict)
    return dict(tree)


def _recipes_of(report: Mapping[str, object], base: Mapping[str, object]) -> Iterator[Recipe]:
    trees: dict[str, Mapping[str, object]] = {"": base}
    learns = {"": False}
    for name, written in report.items():
        entry = _Entry.model_validate(written)
        trees[name] = _laid_over(trees[entry.extends], entry.config)
        learns[name] = (
            learns[entry.extends] if entry.learns_ignored is None else entry.learns_ignored
        )
        row = name.partition("-")[0]
        config = Config.model_validate(trees[name])
        yield Recipe(name, row, row[0], entry.reported, entry.note, config, learns[name])


def _laid_over(below: Mapping[str, object], above: Mapping[str, object]) -> dict[str, object]:
    """``above`` where it says something, else ``below``; a section that names its kind replaces the
    whole one below.
    """
    merged = dict(below)
    for key, value in above.items():
        under = below.get(key)
        both = isinstance(value, Mapping) and isinstance(under, Mapping) and "kind" not in value
        merged[key] = _laid_over(under, value) if both else value  # type: ignore[arg-type]
    return merged


def _words(recipe: Recipe) -> tuple[str, str]:
    return recipe.row.lower(), recipe.name.lower()


def _hint(word: str) -> str:
    names = {each: recipe.name for recipe in load_recipes() for each in _words(recipe)}
    near = list(
        dict.fromkeys(
            names[match] for match in difflib.get_close_matches(word, names, n=3, cutoff=0.5)
        )
    )
    return f"did you mean {' or '.join(near)}?" if near else "see `search recipes list`"
