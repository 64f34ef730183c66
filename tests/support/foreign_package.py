"""A package that brings a network, a loss and a score, as pip leaves one."""

from pathlib import Path

MODULE = '''
from typing import Any, Literal
from pydantic import Field
from objectives.config import ForeignLoss, ForeignNetwork, ForeignScore

class Plain(ForeignNetwork):
    """One convolution between two."""

    kind: Literal["plain"] = "plain"
    filters: int = Field(8, ge=1, le=64)

    def build(self, *, in_channels: int, num_classes: int) -> Any:
        from torch import nn

        first = nn.Conv2d(in_channels, self.filters, 3, padding=1)
        return nn.Sequential(first, nn.ReLU(), nn.Conv2d(self.filters, num_classes, 1))

class Missed(ForeignLoss):
    """Mean of (1 - p) ** power of each pixel's own class."""

    power: float = Field(2.0, ge=1.0, le=4.0)

    def compute(self, pixels: Any) -> Any:
        return pixels.weighted_mean((1 - pixels.log_pt_BHW.exp()) ** self.power)

class F2(ForeignScore):
    """The F score that counts recall four times."""

    def compute(self, hits: Any, true: Any, predicted: Any) -> Any:
        return 5 * hits / (4 * true + predicted)
'''
POINTS = {
    "networks": {"plain": "parts:Plain"},
    "losses": {"missed": "parts:Missed"},
    "scores": {"f2": "parts:F2"},
}
USING = [
    "model.kind=plain",
    "model.filters={int: [4, 16]}",
    "loss.missed={weight: optional}",
    "loss.missed_power=3.0",
]


def install(
    folder: Path, points: dict[str, dict[str, str]], *, version: str = "1.2", module: str = MODULE
) -> None:
    """As pip leaves a package: a module, and its metadata beside it."""
    folder.mkdir(exist_ok=True)
    (folder / "parts.py").write_text(module)
    facts = folder / "parts.dist-info"
    facts.mkdir(exist_ok=True)
    (facts / "METADATA").write_text(f"Metadata-Version: 2.1\nName: parts\nVersion: {version}\n")
    groups = [
        f"[segmentation_search.{group}]\n" + "".join(f"{n} = {v}\n" for n, v in each.items())
        for group, each in points.items()
    ]
    (facts / "entry_points.txt").write_text("\n".join(groups))
