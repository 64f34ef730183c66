"""Where augmentation is asked to be done. Imports no torch."""

from typing import Literal

# auto: on the device where that is a GPU
AugmentOn = Literal["auto", "host", "device"]
