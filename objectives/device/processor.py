"""What a score was computed on. Imports no torch.

The same weights give the same score to the last bit only on the same kind of processor, by the same build of torch and, on a
CPU, with as many threads: elsewhere sums are formed in another order, and the label of a pixel may flip.
"""

from dataclasses import dataclass

SAME, ACROSS = 1e-6, 2e-3  # how far a score may move when it is measured again


@dataclass(frozen=True)
class Processor:
    """A type of device (cpu, cuda), its model with torch's build, and its threads; old bundles name no model."""

    type: str
    name: str
    threads: int = 0  # of a CPU


def allowed_difference(now: Processor, then: Processor) -> float:
    """How far a score that is measured again may lie from the one before."""
    return SAME if (now.type, now.name) == (then.type, then.name) else ACROSS
