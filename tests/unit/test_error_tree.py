"""The tree of errors that objectives/errors.py draws is the tree that there is."""

import importlib
import pkgutil

import objectives
import search
import spaces
from objectives import errors

INDENT = 4  # characters a level


def drawn() -> dict[str, str]:
    """Each error's parent by its name, as drawn."""
    assert errors.__doc__
    lines = [
        line
        for line in errors.__doc__.splitlines()
        if line.startswith((*"├│└", "SearchError", "    ├", "    └"))
    ]
    parents, path = {}, list[str]()
    for line in lines:
        name = line.strip("│├└─ ").split()[0]
        level = line.index(name) // INDENT
        path = [*path[:level], name]
        parents[name] = path[level - 1] if level else "Exception"
    return parents


def there(error: type[Exception]) -> dict[str, str]:
    """The same of an error and those below it, but for private ones and those of tests."""
    found = {error.__name__: error.__bases__[0].__name__}
    for below in error.__subclasses__():
        if not below.__name__.startswith("_") and below.__module__.partition(".")[0] != "tests":
            found |= there(below)
    return found


def test_every_error_has_its_place_in_the_tree() -> None:
    for package in (objectives, spaces, search):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if not module.name.endswith("__main__"):
                importlib.import_module(module.name)
    assert drawn() == there(errors.SearchError)
