"""What an export hands out, before it is written: one run's network or several combined, with its
data and scores.
"""

from dataclasses import dataclass

import torch

from objectives.bundle.provenance import FlipScores, Origin
from objectives.data.dataset import Dataset
from objectives.data.ragged import Frames
from objectives.device.computing import processor_of, threads_of
from objectives.device.processor import Processor, refuse_other_score
from objectives.ensemble.program import Ensemble
from objectives.program.segmenter import Segmenter
from objectives.program.settings import ProgramSettings
from objectives.scoring.inspection import Inspection, inspect_frames
from search.export.winner import Winner


@dataclass(frozen=True)
class ExportedProgram:
    """The program to export, whose run, score and belief are the ``winner``'s, with the data of its
    study.
    """

    winner: Winner
    settings: ProgramSettings
    # of the members, in the order of the settings: the winner's run is the first
    origins: tuple[Origin, ...]
    device: torch.device  # of the type on which it was scored, where this host has it
    scored_on: Processor
    segmenter: Segmenter | Ensemble
    data: Dataset
    flips: FlipScores | None = None  # None: not measured

    @property
    def score(self) -> float:
        """Of its program on the validation part: the winner's score, as it was reported, unless it
        averages over flips.
        """
        return self.flips.averaged if self.flips and self.flips.used else self.winner.score

    @property
    def scores_on(self) -> Processor:
        """What computes its scores here."""
        with threads_of(self.scored_on):
            return processor_of(self.device)

    def refuse_other_score(self, again: float) -> None:
        """Refuse to export it when its weights score ``again`` on the validation part.

        Raises:
            WorldError: That is not its score.
        """
        refuse_other_score(
            f"trial {self.winner.number}",
            self.score,
            again,
            now=self.scores_on,
            then=self.scored_on,
        )

    def inspect(self, part: str, program: Segmenter | Ensemble | None = None) -> Inspection:
        """Return its scores on one part of the study's frames, with a confusion matrix for each
        place; or those of another ``program``, measured in the same way.
        """
        images, masks = self.pixels(part)
        groups_N = self.data.groups[self.data.parts[part]]
        with threads_of(self.scored_on):
            return inspect_frames(
                program or self.segmenter,
                images,
                masks,
                self.data.spec,
                groups_N=groups_N,
                device=self.device,
            )

    def pixels(self, part: str) -> tuple[Frames, Frames]:
        """Frames (H, W, C) and masks (H, W) of one part."""
        indices = self.data.parts[part]
        return self.data.images[indices], self.data.masks[indices]
