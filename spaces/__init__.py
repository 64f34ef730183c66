"""What a search may vary: domains, presets, the reading and checking of a space file. Knows no
torch and no Optuna.
"""

from spaces.domains import Fixed
from spaces.files.load import load_space, preset_names
from spaces.files.stored import load_stored_space
from spaces.recipes import EnsembleOfRecipes, Recipe, choose_recipes, load_ensembles, load_recipes
from spaces.source import FromParams, ValueSource
from spaces.space import Row, Space

__all__ = [
    "EnsembleOfRecipes",
    "Fixed",
    "FromParams",
    "Recipe",
    "Row",
    "Space",
    "ValueSource",
    "choose_recipes",
    "load_ensembles",
    "load_recipes",
    "load_space",
    "load_stored_space",
    "preset_names",
]
