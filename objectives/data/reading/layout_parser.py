"""Reading of a data.yaml key by key, whatever kind of layout it is of."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from objectives.data.reading.part_words import PART_WORDS, part_named
from objectives.data.reading.pattern import Pattern
from objectives.data.reading.yaml_file import shown
from objectives.errors import Problem


@dataclass
class LayoutParser:
    """A data.yaml that is being read, key by key; what is wrong gathers in ``problems``."""

    where: str
    content: dict[Any, Any]
    problems: list[Problem] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def patterns(self, key: str) -> tuple[Pattern, ...]:
        """Return the patterns of files that a key must hold."""
        patterns = tuple(map(Pattern, self.texts(key, "a path like img/{stem}.jpg")))
        for pattern in patterns:
            for rule, value in pattern.problems():
                self.refuse(key, rule, value)
        return patterns

    def texts(self, key: str, what: str, usual: list[str] | None = None) -> tuple[str, ...]:
        """Return the text or texts that a key must hold, which ``what`` describes; ``usual`` where
        it may be left away.
        """
        held = self._take(key, usual)
        texts = held if isinstance(held, list) else [held]
        if all(isinstance(text, str) for text in texts) and (texts or usual is not None):
            return tuple(texts)
        self.refuse(key, f"must be {what}, or a list of such", shown(held))
        return ()

    def text(self, key: str, usual: str) -> str:
        """Return a path."""
        held = self._take(key, usual)
        if isinstance(held, str) and "\0" not in held:
            return held
        self.refuse(key, "must be a path", shown(held))
        return usual

    def choice(self, key: str, words: tuple[Any, ...], usual: Any) -> Any:
        """Return one of some words."""
        held = self._take(key, usual)
        if any(held is word or held == word for word in words if isinstance(held, str)):
            return held
        self.refuse(key, f"must be {' or '.join(word for word in words if word)}", shown(held))
        return usual

    def threshold(self) -> int:
        """Return the least value of a class in its mask file."""
        held = self._take("threshold", 1)
        if isinstance(held, int) and not isinstance(held, bool) and 1 <= held <= 65535:
            return held
        self.refuse("threshold", "must be a value 1 to 65535", shown(held))
        return 1

    def range(self) -> tuple[float, float] | None:
        """Return the lowest and the highest value of pixels; None where nobody says."""
        held = self._take("range")
        if held is None:
            return None
        numbers = isinstance(held, list) and [_number(each) for each in held]
        if isinstance(numbers, list) and len(numbers) == 2 and None not in numbers:
            low, high = numbers
            if low is not None and high is not None and low < high:
                return low, high
        self.refuse("range", "must be [lowest, highest] of the pixels, two numbers", shown(held))
        return None

    def parts(self) -> tuple[tuple[tuple[str, tuple[str, ...]], ...], str]:
        """Return the lists of each part, or the one CSV."""
        held = self._take("parts", {})
        if isinstance(held, str) and held:
            return (), held
        words = [word for words in PART_WORDS.values() for word in words]
        rule = f"must be a CSV, or a mapping like {{train: train.txt}} of {', '.join(words)}"
        if not isinstance(held, dict):
            self.refuse("parts", rule, shown(held))
            return (), ""
        lists: dict[str, tuple[str, ...]] = {}
        for word, files in held.items():
            named = files if isinstance(files, list) else [files]
            part = part_named(word) if isinstance(word, str) else ""
            if not part or not named or not all(isinstance(each, str) and each for each in named):
                self.refuse("parts", rule, f"{shown(word)}: {shown(files)}")
            else:
                lists[part] = (*lists.get(part, ()), *named)
        return tuple(lists.items()), ""

    def unknown(self) -> Iterator[Problem]:
        """Yield a problem for each key that nobody has asked for."""
        for key in self.content.keys() - set(self.asked):
            rule = f"may hold {', '.join(self.asked)} only"
            yield Problem(self.where, rule, shown(key))

    def _take(self, key: str, usual: Any = None) -> Any:
        self.asked.append(key)
        held = self.content.get(key)
        return usual if held is None else held

    def refuse(self, key: str, rule: str, value: str) -> None:
        """Note that a key breaks a rule."""
        self.problems.append(Problem(f"{self.where}: {key}", rule, value))


def _number(value: Any) -> float | None:
    """Return a finite number of YAML, which writes 1e-3 as text."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if abs(number) < float("inf") else None
