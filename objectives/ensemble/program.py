"""Several segmenters as one program: the weighted mean of their probabilities or a second model
over them, also of flips.
"""

import math
from collections.abc import Sequence
from typing import final

import torch
from torch import Tensor, nn

from objectives.data.spec import FrameSpec
from objectives.ensemble.stacking import FLOOR, Stack
from objectives.program.segmenter import Segmenter, build_segmenter, scored_probabilities
from objectives.program.settings import Flip, ProgramSettings, ways_of

LEAST = torch.finfo(torch.float32).tiny  # of a probability whose logarithm is taken: 1.2e-38


@final
class Ensemble(nn.Module):
    """Logits (B, K, H, W) of raw pixels (B, C, H, W), as a Segmenter gives them: the logarithm of
    averaged probabilities.

    logits_k = log(sum_m w_m mean_f p_mfk), sum_m w_m = 1, where p_mf is member m's softmax over the
    scored classes for the frame flipped the way f, and flipped back. The softmax of the logits over
    the scored classes is thus the average itself. A class that is never scored gets the logarithm
    of next to nothing.

    With a ``stack``, a 1 x 1 convolution of M * S inputs to S outputs, the weights have no part:
    the logits of the scored classes are its outputs for ln max(mean_f p_mfk, FLOOR), all classes of
    one member after those of the one before.

    Source: Caruana et al. 2004 (Ensemble Selection from Libraries of Models), section 2: models are
    combined by averaging their predicted probabilities. Stacks: see `objectives.ensemble.stacking`.
    """

    scored: Tensor
    places: Tensor

    def __init__(
        self,
        members: Sequence[Segmenter],
        weights: Sequence[float],
        spec: FrameSpec,
        flips: Sequence[Flip] = (),
        *,
        stack: nn.Conv2d | None = None,
    ) -> None:
        super().__init__()
        assert len(members) == len(weights) > 0, (len(members), len(weights))
        assert min(weights) > 0, weights
        self.members = nn.ModuleList(members)
        self.weights = tuple(weight / sum(weights) for weight in weights)
        self.stack = stack
        self.flips = tuple(flips)
        self.ways = ways_of(self.flips)
        places = [
            spec.scored.index(label) if label in spec.scored else len(spec.scored)
            for label in range(spec.num_classes)
        ]
        self.register_buffer("scored", torch.tensor(spec.scored), persistent=False)
        # (K,) of a class among S scored ones, or S
        self.register_buffer("places", torch.tensor(places), persistent=False)

    def forward(self, pixels_BCHW: Tensor) -> Tensor:
        """Logits (B, K, H, W) of raw pixels (B, C, H, W)."""
        combined_BSHW = self.combined(self.by_member(pixels_BCHW))
        nothing_B1HW = torch.full_like(combined_BSHW[:, :1], math.log(LEAST))
        return torch.cat([combined_BSHW, nothing_B1HW], dim=1).index_select(1, self.places)

    def by_member(self, pixels_BCHW: Tensor) -> list[Tensor]:
        """Return each member's probabilities (B, S, H, W) of the scored classes, of raw pixels
        (B, C, H, W): the mean over the ways in which it sees a frame.
        """
        # one pass, B times the ways
        seen_BCHW = torch.cat([flipped(pixels_BCHW, axes) for axes in self.ways])
        return [self._probabilities(member, seen_BCHW) for member in self.members]

    def combined(self, members_BSHW: Sequence[Tensor]) -> Tensor:
        """Logits (B, S, H, W) of the scored classes, from each member's probabilities of them."""
        if self.stack is not None:
            logits_BSHW: Tensor = self.stack(
                torch.cat([each.clamp_min(FLOOR).log() for each in members_BSHW], dim=1)
            )
            return logits_BSHW
        pairs = zip(self.weights, members_BSHW, strict=True)
        return (
            torch.stack([weight * each for weight, each in pairs]).sum(dim=0).clamp_min(LEAST).log()
        )

    def _probabilities(self, member: nn.Module, seen_BCHW: Tensor) -> Tensor:
        """Return one member's mean over the ways, (B, S, H, W)."""
        logits_BKHW: Tensor = member(seen_BCHW)
        probable = scored_probabilities(logits_BKHW, self.scored)
        by_way = probable.reshape(len(self.ways), -1, *probable.shape[1:])
        return torch.stack([flipped(by_way[way], axes) for way, axes in enumerate(self.ways)]).mean(
            dim=0
        )


def flipped(maps_BCHW: Tensor, axes: tuple[int, ...]) -> Tensor:
    """Return the maps with some axes turned round."""
    return maps_BCHW.flip(axes) if axes else maps_BCHW


def build_program(settings: ProgramSettings) -> Segmenter | Ensemble:
    """Return the untrained program of a bundle."""
    return combined(
        [build_segmenter(member.config, settings.spec) for member in settings.members], settings
    )


def combined(members: Sequence[Segmenter], settings: ProgramSettings) -> Segmenter | Ensemble:
    """Return the program that ``settings`` describe, of members in their order; one plain member is
    a program by itself.
    """
    if settings.plain:
        return members[0]
    weights = [member.weight for member in settings.members]
    return Ensemble(members, weights, settings.spec, settings.flips, stack=_unfitted(settings))


def _unfitted(settings: ProgramSettings) -> nn.Conv2d | None:
    """Return the second model of a stack with no weights of its own yet; none of an average."""
    if settings.combining == "average":
        return None
    classes = len(settings.spec.scored)
    return nn.Conv2d(classes * len(settings.members), classes, kernel_size=1)


def stacked(members: Sequence[Segmenter], settings: ProgramSettings, fitted: Stack) -> Ensemble:
    """Return the members under a fitted second model, whose members they are, in its order."""
    program = combined(members, settings)
    assert isinstance(program, Ensemble), settings
    assert program.stack is not None, settings
    weights_SF11 = torch.from_numpy(fitted.weights_SF)[:, :, None, None]
    program.stack.load_state_dict(
        {"weight": weights_SF11, "bias": torch.from_numpy(fitted.offsets_S)}
    )
    return program


def members_of(program: Segmenter | Ensemble) -> list[Segmenter]:
    """Return the networks of a program."""
    return (
        [program]
        if isinstance(program, Segmenter)
        else [each for each in program.members if isinstance(each, Segmenter)]
    )


def reflipped(
    program: Segmenter | Ensemble, settings: ProgramSettings, flips: tuple[Flip, ...]
) -> tuple[Segmenter | Ensemble, ProgramSettings]:
    """Return the same networks with other flips, and their settings."""
    changed = settings.model_copy(update={"flips": flips})
    built = combined(members_of(program), changed)
    if isinstance(program, Ensemble) and isinstance(built, Ensemble):
        built.stack = program.stack
    device = next(program.parameters()).device
    return built.to(device).train(program.training), changed
