"""Reading of the small YAML files beside the frames."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import yaml

from objectives.config.plain_yaml import WithoutAliases
from objectives.errors import Problem, ProblemsError

MOST_BYTES = 2**20


def read_yaml(path: Path) -> Any:
    """Return the content of a YAML file.

    Raises:
        ProblemsError: It is none, or has aliases or a key twice.
    """
    try:
        return yaml.load(read_text(path), Loader=_PlainLoader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ProblemsError(
            path.name, [Problem(path.name, "must be readable YAML", reason[:200])]
        ) from error


def shown(value: Any) -> str:
    """Return the value in a message; a number of thousands of digits is refused by Python
    itself.
    """
    try:
        return repr(value)
    except (ValueError, RecursionError):
        return f"a {type(value).__name__} too large to show"


class _PlainLoader(WithoutAliases, yaml.SafeLoader):
    """YAML without aliases, and without keys that appear twice.

    A value that is not what its tag says (``!!timestamp noon``) is an error of the file, whatever
    the parser makes of it.
    """

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            what = "found a value that is not what its tag says"
            raise yaml.constructor.ConstructorError(None, None, what, node.start_mark) from error

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        if len(set(names)) < len(names):
            raise yaml.constructor.ConstructorError(
                None, None, "found a key that appears twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


def read_text(path: Path) -> str:
    """Return the text of a small file.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no file, too large, or no UTF-8.
    """
    if not path.is_file():  # a pipe would be waited for without end
        raise ValueError("it is no file")
    if path.stat().st_size > MOST_BYTES:
        raise ValueError(f"it has more than {MOST_BYTES} bytes")
    return path.read_text(encoding="utf-8-sig")
