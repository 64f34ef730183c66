"""How a domain is written in a space file: ``{int: [2, 5]}``, ``{float: [1e-4, 1e-2], log: true}``,
``{choice: [8, 16]}``, ``{weight: optional}``; a bare scalar or list is a fixed value.
"""

from collections.abc import Callable, Mapping

from objectives.errors import Problem
from spaces.domains import Choice, Domain, Fixed, Float, Int, Weight
from spaces.values import Value, shown

FORMS = (
    "{int: [low, high]}, {float: [low, high]}, {choice: [a, b]}, {weight: optional} or a "
    "plain "
    "value"
)
_LARGEST = 2**53  # whole numbers up to here are exact as floats, which is how parameters are stored


def read_domain(path: str, written: object) -> Domain | Problem:
    """Return the domain that was written for ``path``, in its simplest form: a range or choice of
    one value is fixed.
    """
    try:
        return _domain(written)
    except _BrokenRuleError as broken:
        return Problem(path, broken.rule, shown(written))


def is_domain(written: object) -> bool:
    """Return whether a mapping is meant as a domain, and not as a section that holds further
    fields.
    """
    return isinstance(written, Mapping) and not _READERS.keys().isdisjoint(written)


class _BrokenRuleError(Exception):
    def __init__(self, rule: str) -> None:
        super().__init__(rule)
        self.rule = rule


def _domain(written: object) -> Domain:
    if not isinstance(written, Mapping):
        return Fixed(_value(written))
    names = [name for name in written if name in _READERS]
    if len(names) != 1:
        raise _BrokenRuleError(f"must be {FORMS}")
    options = {key: value for key, value in written.items() if key != names[0]}
    if unknown := options.keys() - _OPTIONS[names[0]]:
        known = " and ".join(sorted(_OPTIONS[names[0]])) or "nothing"
        raise _BrokenRuleError(
            f"knows {known} beside {names[0]}, not {', '.join(sorted(map(shown, unknown)))}"
        )
    return _READERS[names[0]](written[names[0]], options)


def _int(bounds: object, options: Mapping[str, object]) -> Domain:
    low, high = (_whole(bound) for bound in _pair(bounds))
    step = _whole(options.get("step", 1))
    log = _flag(options)
    _check_order(low, high, log)
    if step < 1 or (high - low) % step:
        raise _BrokenRuleError("step must be at least 1 and lead from low to high exactly")
    if log and step > 1:
        raise _BrokenRuleError("must have either a step or log, not both")
    return Int(low, high, step, log) if low < high else Fixed(low)


def _float(bounds: object, options: Mapping[str, object]) -> Domain:
    low, high = (_number(bound) for bound in _pair(bounds))
    log = _flag(options)
    _check_order(low, high, log)
    return Float(low, high, log) if low < high else Fixed(low)


def _choice(written: object, options: Mapping[str, object]) -> Domain:
    if not isinstance(written, list | tuple) or not written:
        raise _BrokenRuleError("choice must be a list of at least one option")
    values = tuple(_value(option) for option in written)
    if len({(value, isinstance(value, bool)) for value in values}) < len(values):
        raise _BrokenRuleError("choice must not name an option twice")
    return Choice(values) if len(values) > 1 else Fixed(values[0])


def _weight(written: object, options: Mapping[str, object]) -> Domain:
    if written not in ("optional", "always"):
        raise _BrokenRuleError("weight must be optional or always")
    return Weight(optional=written == "optional")


_READERS: Mapping[str, Callable[[object, Mapping[str, object]], Domain]] = {
    "int": _int,
    "float": _float,
    "choice": _choice,
    "weight": _weight,
}
_OPTIONS: Mapping[str, frozenset[str]] = {
    "int": frozenset({"step", "log"}),
    "float": frozenset({"log"}),
    "choice": frozenset(),
    "weight": frozenset(),
}


def _value(written: object) -> Value:
    if isinstance(written, bool | int | float | str):
        return written
    if isinstance(written, list | tuple):
        scalars = tuple(entry for entry in written if isinstance(entry, bool | int | float | str))
        if len(scalars) == len(written):
            return scalars
    raise _BrokenRuleError(f"must be {FORMS}")


def _pair(bounds: object) -> tuple[object, object]:
    if not isinstance(bounds, list | tuple) or len(bounds) != 2:
        raise _BrokenRuleError("a range must have two ends, [low, high]")
    return bounds[0], bounds[1]


def _whole(written: object) -> int:
    if isinstance(written, bool) or not isinstance(written, int) or abs(written) > _LARGEST:
        raise _BrokenRuleError(f"an int range must be made of whole numbers, not {shown(written)}")
    return written


def _number(written: object) -> float:
    if (
        isinstance(written, bool)
        or not isinstance(written, int | float)
        or not abs(written) <= _LARGEST
    ):
        raise _BrokenRuleError(
            f"a float range must be made of finite numbers, not {shown(written)}"
        )
    return float(written)


def _flag(options: Mapping[str, object]) -> bool:
    log = options.get("log", False)
    if not isinstance(log, bool):
        raise _BrokenRuleError(f"log must be true or false, not {shown(log)}")
    return log


def _check_order(low: float, high: float, log: bool) -> None:
    if low > high:
        raise _BrokenRuleError(f"low must not exceed high ({low=:g}, {high=:g})")
    if log and low <= 0:
        raise _BrokenRuleError(f"log needs a low above 0 ({low=:g})")
