"""Several segmenters as one program: the weighted mean of their probabilities, over flipped frames too where asked."""

from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from objectives.bundle_settings import Flip, Settings, ways_of
from objectives.data.spec import FrameSpec
from objectives.segmenter import Segmenter, build_segmenter

LEAST = torch.finfo(torch.float32).tiny  # of a probability whose logarithm is taken: 1.2e-38


@final
class Ensemble(nn.Module):
    """Logits (B, K, H, W) of raw pixels (B, C, H, W), as a Segmenter gives them: the logarithm of averaged probabilities.

    logits_k = log(sum_m w_m mean_f p_mfk), sum_m w_m = 1, where p_mf is member m's softmax over the scored classes for the
    frame flipped the way f, and flipped back. The softmax of the logits over the scored classes is thus the average itself. A
    class that is never scored gets the logarithm of next to nothing.

    Source: Caruana et al. 2004 (Ensemble Selection from Libraries of Models), section 2: models are combined by averaging
    their predicted probabilities.
    """

    scored: Tensor
    places: Tensor

    def __init__(
        self, members: Sequence[Segmenter], weights: Sequence[float], spec: FrameSpec, flips: Sequence[Flip] = ()
    ) -> None:
        super().__init__()
        assert len(members) == len(weights) > 0, (len(members), len(weights))
        assert min(weights) > 0, weights
        self.members = nn.ModuleList(members)
        self.weights = tuple(weight / sum(weights) for weight in weights)
        self.flips = tuple(flips)
        self.ways = ways_of(self.flips)
        places = [spec.scored.index(label) if label in spec.scored else len(spec.scored) for label in range(spec.num_classes)]
        self.register_buffer("scored", torch.tensor(spec.scored), persistent=False)
        self.register_buffer("places", torch.tensor(places), persistent=False)  # (K,) of a class among S scored ones, or S

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Logits (B, K, H, W) of raw pixels (B, C, H, W)."""
        seen_BCHW = torch.cat([flipped(pixels_BCHW, axes) for axes in self.ways])  # one pass, B times the ways
        pairs = zip(self.members, self.weights, strict=True)
        mean_BSHW = torch.stack([weight * self._probabilities(member, seen_BCHW) for member, weight in pairs]).sum(dim=0)
        logs_BSHW = mean_BSHW.clamp_min(LEAST).log()
        nothing_B1HW = torch.full_like(logs_BSHW[:, :1], LEAST).log()
        return torch.cat([logs_BSHW, nothing_B1HW], dim=1).index_select(1, self.places)

    def _probabilities(self, member: nn.Module, seen_BCHW: Tensor) -> Tensor:
        """One member's mean over the ways, (B, S, H, W)."""
        logits_BKHW: Tensor = member(seen_BCHW)
        probable = torch.softmax(logits_BKHW.float().index_select(1, self.scored), dim=1)
        by_way = probable.reshape(len(self.ways), -1, *probable.shape[1:])
        return torch.stack([flipped(by_way[way], axes) for way, axes in enumerate(self.ways)]).mean(dim=0)


def flipped(maps_BCHW: Tensor, axes: tuple[int, ...]) -> Tensor:
    """The maps with some axes turned round."""
    return maps_BCHW.flip(axes) if axes else maps_BCHW


def build_program(settings: Settings) -> Segmenter | Ensemble:
    """The untrained program of a bundle."""
    return combined([build_segmenter(member.config, settings.spec) for member in settings.members], settings)


def combined(members: Sequence[Segmenter], settings: Settings) -> Segmenter | Ensemble:
    """The program that ``settings`` describe, of members in their order; one plain member is a program by itself."""
    if settings.plain:
        return members[0]
    return Ensemble(members, [member.weight for member in settings.members], settings.spec, settings.flips)


def members_of(program: Segmenter | Ensemble) -> list[Segmenter]:
    """The members of a program."""
    return [program] if isinstance(program, Segmenter) else [each for each in program.members if isinstance(each, Segmenter)]


def reflipped(
    program: Segmenter | Ensemble, settings: Settings, flips: tuple[Flip, ...]
) -> tuple[Segmenter | Ensemble, Settings]:
    """The same networks with other flips, and their settings."""
    changed = settings.model_copy(update={"flips": flips})
    built = combined(members_of(program), changed)
    device = next(program.parameters()).device
    return built.to(device).train(program.training), changed
