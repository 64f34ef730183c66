"""What of an augmentation is done on the host in every way: elastic deformation and copy-paste."""

from objectives.config import Augment

ON_DEVICE = ("flip", "vertical_flip", "geometry", "photometric")  # switches of what the device does


def left_to_host(augment: Augment) -> Augment:
    """Return what the host does before the device does the rest."""
    return augment.model_copy(update=dict.fromkeys(ON_DEVICE, False))


def needs_host(augment: Augment) -> bool:
    """Return whether anything of it is left to the host."""
    elastic = augment.elastic and (augment.elastic_waves or augment.grid_distortion)
    return bool(augment.copy_paste or (augment.intensity and elastic))
