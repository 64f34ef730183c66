"""What is counted of frames on the device on which they pass through a model: numbers that add up, brought
to the host together at the end.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from objectives.data.spec import FrameSpec
from objectives.device.transfer import sent
from objectives.program.segmenter import predict_labels
from objectives.scoring.metrics import cells_in_groups_GC, confusions_of_GKK
from objectives.scoring.soft import SoftSums, soft_cells_KS


@dataclass(frozen=True)
class Tally:
    """Counts the pixels of groups of frames, and with ``soft`` sums up probabilities: the numbers of
    batches, float64 (T,), add up to those of all. Pixels below 2^53 are whole numbers there.
    """

    spec: FrameSpec
    groups: int
    soft: bool

    def of(self, logits_BKHW: Tensor, masks_BHW: Tensor, group_of_B: Tensor) -> Tensor:
        """Return the numbers of a batch: logits (B, K, H, W), masks (B, H, W), groups int64 (B,)."""
        spec = self.spec
        cells_GC = cells_in_groups_GC(
            predict_labels(logits_BKHW, spec).flatten(1),
            masks_BHW.flatten(1),
            group_of_B,
            self.groups,
            spec.num_classes,
            spec.ignore_label,
        )
        soft = [soft_cells_KS(logits_BKHW, masks_BHW, spec).flatten()] if self.soft else []
        return torch.cat([cells_GC.double().flatten(), *soft])

    def read(
        self, numbers_T: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.int64], SoftSums | None]:
        """Return the confusion matrices (G, K, K) and the sums of probabilities that such numbers are."""
        cells = self.groups * (self.spec.num_classes**2 + 1)
        cells_GC = numbers_T[:cells].astype(np.int64).reshape(self.groups, -1)
        confusions_GKK = confusions_of_GKK(cells_GC, self.spec.num_classes)
        return confusions_GKK, SoftSums.of(numbers_T[cells:], self.spec) if self.soft else None

    @property
    def nothing(self) -> npt.NDArray[np.float64]:
        """The numbers of no frame."""
        spec = self.spec
        soft = len(spec.scored) * (spec.num_classes + 1) if self.soft else 0
        return np.zeros(self.groups * (spec.num_classes**2 + 1) + soft)


def masks_on(device: torch.device, masks_BHW: np.ndarray) -> Tensor:
    """Return masks (B, H, W) uint8 on a device; a copy, for maps are read-only."""
    return sent(torch.from_numpy(np.array(masks_BHW)), device)


def groups_on(device: torch.device, group_of_N: npt.NDArray[np.integer]) -> Tensor:
    """Return the groups (N,) of frames on a device."""
    return sent(torch.from_numpy(group_of_N.astype(np.int64)), device)
