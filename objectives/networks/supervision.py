"""Deep supervision: networks whose coarser levels take part in the loss too."""

from abc import ABC, abstractmethod

from torch import Tensor, nn
from torch.nn import functional


class DeeplySupervised(nn.Module, ABC):
    """A network that may have auxiliary heads.

    Source: Lee et al. 2015 (arXiv:1409.5185), section 2: hidden levels have losses of their own
    beside that of the last.
    """

    @abstractmethod
    def outputs(self, images_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Return the logits of ``forward``, then those of each auxiliary head from fine to coarse,
        all (B, K, H, W).
        """


def all_outputs(network: nn.Module, images_BCHW: Tensor) -> tuple[Tensor, ...]:
    """Return all logits (B, K, H, W) that the loss reads: those of ``forward``, then those of
    auxiliary heads, if any.
    """
    if isinstance(network, DeeplySupervised):
        return network.outputs(images_BCHW)
    return (network(images_BCHW),)


def resized(logits_BKHW: Tensor, height: int, width: int) -> Tensor:
    """Return logits resized bilinearly to ``height`` x ``width``."""
    return functional.interpolate(
        logits_BKHW, size=(height, width), mode="bilinear", align_corners=False
    )
