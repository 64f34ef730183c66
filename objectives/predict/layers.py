"""What is said of each pixel: its label, its probabilities, how unsure the model is of it. What is
asked for decides which layers a prediction carries. Imports no torch.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final, Literal, assert_never, final

import numpy as np
import numpy.typing as npt
from scipy.special import softmax

from objectives.data.spec import FrameSpec
from objectives.predict.uncertainty import disagreement, entropy
from objectives.program.settings import ProgramSettings

# labels uint8 (rows, W); float32: probabilities (K, rows, W), entropy and disagreement (rows, W)
Layer = Literal["labels", "probabilities", "entropy", "disagreement"]
Layers = Mapping[Layer, np.ndarray]  # those that are asked for, of the same rows
Extra = Literal["probabilities", "uncertainty"]  # what may be asked for beside masks
EXTRAS: Final[dict[Extra, tuple[Layer, ...]]] = {
    "probabilities": ("probabilities",),
    "uncertainty": ("entropy", "disagreement"),
}
Floats = npt.NDArray[np.float32]


def layers_beside(extras: Collection[Extra], *, disagreement: bool) -> tuple[Layer, ...]:
    """Return the labels and the layers of what is asked for beside them; the disagreement of members
    where there is one.
    """
    asked = [layer for extra in EXTRAS if extra in extras for layer in EXTRAS[extra]]
    return ("labels", *(each for each in asked if disagreement or each != "disagreement"))


def no_disagreement(settings: ProgramSettings) -> str:
    """Return why a bundle has no disagreement of members; empty where it has."""
    if settings.combining == "stack":
        return (
            "the bundle is a stack, whose second model reads its members instead of averaging them"
        )
    return "" if len(settings.members) > 1 else "the bundle is one network"


@final
@dataclass(frozen=True, eq=False)
class Opinion:
    """What a model says of some rows, and the layers that follow.

    ``logs`` gives logarithms of probabilities (P, rows, W), but for one number at each pixel: of the S
    scored classes by the model, then, for their disagreement, by each member of an average with its
    weight. It is not called where labels are all that is wanted: on a GPU the rest stays there.
    """

    labels_HW: npt.NDArray[np.uint8]
    logs: Callable[[], Floats]
    spec: FrameSpec
    weights: Sequence[float] = ()

    def layers(self, wanted: Sequence[Layer]) -> Layers:
        """Return the wanted layers."""
        return {layer: self._layer(layer) for layer in wanted}

    def _layer(self, layer: Layer) -> np.ndarray:
        match layer:
            case "labels":
                return self.labels_HW
            case "probabilities":
                found_KHW = np.zeros((self.spec.num_classes, *self.labels_HW.shape), np.float32)
                found_KHW[list(self.spec.scored)] = self._probable_SHW
                return found_KHW
            case "entropy":
                return entropy(self._probable_SHW)
            case "disagreement":
                members_SHW = (self._softmax(1 + member) for member in range(len(self.weights)))
                return disagreement(members_SHW, self.weights)
            case _:
                assert_never(layer)

    @cached_property
    def _logs_PHW(self) -> Floats:
        return self.logs()

    @cached_property
    def _probable_SHW(self) -> Floats:
        return self._softmax(0)

    def _softmax(self, place: int) -> Floats:
        classes = len(self.spec.scored)
        logs_SHW = self._logs_PHW[place * classes :][:classes]
        return np.asarray(softmax(logs_SHW, axis=0), np.float32)
