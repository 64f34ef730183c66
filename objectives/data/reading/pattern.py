"""Where files lie, as a path with fields: ``images/{stem}.jpg``."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

FIELD = re.compile(r"\{([^{}]*)\}")
_NAME = re.compile(r"[a-z][a-z_]{0,30}")
_PARTS = re.compile(r"(\{[^{}]*\}|\*)")
DEEP = "path"  # the one field that may hold folders
_ANY_SUFFIX = ".*"
_LONGEST_NAME = 255  # bytes, of file systems
_LONGEST = 1000


@dataclass(frozen=True)
class Pattern:
    """A path below a folder in which ``{stem}`` and other fields stand for any text without a
    slash, ``{path}`` for one that may have slashes, and ``*`` for anything without a name; ``.*``
    at the end is any suffix, or none.
    """

    text: str

    @property
    def fields(self) -> frozenset[str]:
        """The names of its fields."""
        return frozenset(FIELD.findall(self.text))

    @property
    def folder(self) -> str:
        """The folder that all its files lie in, as far as no field comes before it; empty for the
        whole.
        """
        literal = re.split(r"[{*]", self.text, maxsplit=1)[0]
        return literal.rpartition("/")[0]

    @property
    def weight(self) -> int:
        """How many letters are given: of two patterns that a file fits, the heavier is meant."""
        return len(_PARTS.sub("", self.text))

    def values(self, path: str) -> dict[str, str] | None:
        """Return the fields of a path with ``/``; None where it does not fit."""
        match = self._expression.fullmatch(path)
        return match.groupdict() if match else None

    def filled(self, fields: Mapping[str, str]) -> str:
        """Return the path of these fields; those that are not given stay."""
        return FIELD.sub(lambda match: fields.get(match[1], match[0]), self.text)

    def problems(self, *, fields: bool = True) -> Iterator[tuple[str, str]]:
        """Yield each rule that it breaks, and the value; it needs no field unless ``fields``."""
        if not self.text or self.text.startswith(("/", "~")) or "\\" in self.text:
            yield "must be a path below the folder, with / between its parts", repr(self.text)
        elif {".", "..", ""} & set(self.text.split("/")):
            yield "must not have . or .. or nothing between slashes", repr(self.text)
        lengths = [len(part.encode("utf-8", "surrogatepass")) for part in self.text.split("/")]
        if max(lengths) > _LONGEST_NAME or len(self.text) > _LONGEST:
            rule = f"must have parts of at most {_LONGEST_NAME} bytes, {_LONGEST} letters in all"
            yield rule, f"{len(self.text)} letters"
        for name in FIELD.findall(self.text):
            if not _NAME.fullmatch(name):
                yield "a field must be a word in small letters like {stem}", f"{{{name}}}"
        if re.search(r"[{}]", FIELD.sub("", self.text)):
            yield "braces must enclose the name of a field, like {stem}", repr(self.text)
        if re.search(r"[}*][{*]", self.text):
            yield "something must stand between two fields", repr(self.text)
        if fields and not self.fields:
            yield "must have a field that tells the frames apart, like {stem}", repr(self.text)

    @cached_property
    def _expression(self) -> re.Pattern[str]:
        text = self.text.removesuffix(_ANY_SUFFIX)
        parts = []
        seen = set()
        for part in _PARTS.split(text):
            name = part[1:-1]
            if part == "*":
                parts.append("[^/]*?")
            elif not FIELD.fullmatch(part):
                parts.append(re.escape(part))
            elif name in seen:
                parts.append(f"(?P={name})")
            else:
                seen.add(name)
                parts.append(f"(?P<{name}>{'.' if name == DEEP else '[^/]'}+?)")
        suffix = r"(?:\.[^/.]+)?" if text != self.text else ""
        return re.compile("".join(parts) + suffix, re.DOTALL)
