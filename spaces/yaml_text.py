"""Space files as text: a small, strict YAML without surprises (``1e-4`` is a number, ``no`` is a
word, no tags, no aliases).
"""

import re

import yaml

from objectives.config.plain_yaml import WithoutAliases
from objectives.errors import Problem
from spaces.values import Scalar, shown

Tree = Scalar | None | list["Tree"] | dict[str, "Tree"]

_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?")
_WORDS: dict[str, Scalar | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}


def read_yaml(text: str, where: str) -> tuple[Tree, list[Problem]]:
    """Return the text's content, and every problem of form with its line; ``where`` names the text
    in them.
    """
    problems: list[Problem] = []
    try:
        node = yaml.compose(text, Loader=_Loader)
        tree = _tree(node, where, problems) if node is not None else None
    except yaml.MarkedYAMLError as error:
        line = f"{where}, line {error.problem_mark.line + 1}" if error.problem_mark else where
        return None, [Problem(line, "must be valid YAML", error.problem or "a syntax error")]
    except yaml.YAMLError:
        return None, [Problem(where, "must be text that YAML allows", "a control character")]
    except RecursionError:
        return None, [Problem(where, "must not be nested that deeply", "hundreds of levels")]
    return tree, problems


class _Loader(WithoutAliases, yaml.BaseLoader):
    """Composes plain nodes."""


def _tree(node: yaml.Node, where: str, problems: list[Problem]) -> Tree:
    if node.tag not in _TAGS:
        problems.append(Problem(_line(node, where), "must carry no tag", node.tag))
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, where, problems)
    if isinstance(node, yaml.SequenceNode):
        return [_tree(child, where, problems) for child in node.value]
    assert isinstance(node, yaml.ScalarNode)
    return _scalar(node.value) if node.style is None else str(node.value)


_TAGS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("str", "seq", "map"))


def _mapping(node: yaml.MappingNode, where: str, problems: list[Problem]) -> dict[str, Tree]:
    tree: dict[str, Tree] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            problems.append(Problem(_line(key, where), "a key must be a name", f"a {key.id}"))
        elif key.value in tree:
            problems.append(Problem(_line(key, where), "a key must appear once", shown(key.value)))
        else:
            tree[key.value] = _tree(value, where, problems)
    return tree


def _scalar(text: str) -> Scalar | None:
    if text in _WORDS:
        return _WORDS[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _line(node: yaml.Node, where: str) -> str:
    return f"{where}, line {node.start_mark.line + 1}"
