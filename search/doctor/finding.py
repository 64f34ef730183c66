"""What ``search doctor`` says of one thing."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that a search needs, and what was found of it."""

    what: str
    good: bool
    found: str
