"""The values that fields and parameters take, and how messages show them."""

import json

from objectives.config.parts import Scalar

__all__ = ["Scalar", "Value", "plain", "shown", "token"]

Value = Scalar | tuple[Scalar, ...]

_SHOWN_CHARACTERS = 80


def shown(value: object) -> str:
    """Return the value as a person would write it in a space file, cut when it is long."""
    text = value if isinstance(value, str) and value and value.isprintable() else _as_json(value)
    return text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 3]}..."


def plain(value: Value) -> object:
    """Return the value as JSON and YAML hold it: a tuple becomes a list."""
    return list(value) if isinstance(value, tuple) else value


def token(value: Value) -> Scalar:
    """Return the value as a parameter of a trial, which is one scalar: a tuple becomes its JSON."""
    return json.dumps(list(value)) if isinstance(value, tuple) else value


def _as_json(value: object) -> str:
    try:
        return json.dumps(value, ensure_ascii=False).encode(errors="backslashreplace").decode()
    except (TypeError, ValueError, RecursionError):
        return f"a value of type {type(value).__name__}"
