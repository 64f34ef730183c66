"""What a network starts from instead of random weights: bytes that a study was given, by SHA-256."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from objectives.config.foreign import Architecture
from objectives.config.parts import FILLED_IN, LATER, Frozen, Grown, ReadWhile, Scalar

NO_WEIGHTS = "none"
HUB = "imagenet"  # what those are called that an encoder's own library fetches, as in smp
WEIGHTS = "model.weights"  # the path of the field that says which
WITH_WEIGHTS = ReadWhile(WEIGHTS, unless=(NO_WEIGHTS,))  # condition of what only such networks read
SHA256 = "^[0-9a-f]{64}$"


class Start(Frozen):
    """The weights that a network starts from.

    ``extent`` is what is taken: an encoder, a whole network, or its body, without the head, where the
    classes are others. ``mean`` and ``std`` are those by which the frames were normalised that they
    were trained on, one for each channel, of pixels scaled to 0..1.
    """

    sha256: str = Field(pattern=SHA256)
    extent: Literal["encoder", "network", "body"]
    mean: tuple[float, ...] = Field(min_length=1)
    std: tuple[Annotated[float, Field(gt=0.0)], ...] = Field(min_length=1)

    def normalisation(self, channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return the mean and deviation of frames of so many channels, as the first convolution is
        adapted to them: one channel has the means of all, more have them in turn.
        """
        return _in_turn(self.mean, channels), _in_turn(self.std, channels)


def _in_turn(values: tuple[float, ...], channels: int) -> tuple[float, ...]:
    if channels == 1:
        return (sum(values) / len(values),)
    return tuple(values[channel % len(values)] for channel in range(channels))


class GivenWeights(Frozen):
    """Weights that a study was given, under the name that its space calls them by.

    ``fits`` are the values of a model's fields, by path, for which they are: an encoder's name, or
    all that decides the shapes of a whole network.
    """

    name: str
    fits: dict[str, Scalar]
    start: Start
    sha256: str = Field(pattern=SHA256)  # of their file, of which ``start`` may be another form
    source: str  # where they come from, as their file says, else its name
    licence: str  # as their file says; empty: it does not

    def fit(self, values: Mapping[str, object]) -> bool:
        """Return whether a config with these values by path can start from them."""
        return all(values.get(path) == value for path, value in self.fits.items())


class Startable(Architecture, Grown):
    """A family of networks that may start from given weights.

    ``weights`` names them, ``normalise`` says by whose mean and deviation the frames are
    normalised: those of the weights, or of the data. ``start`` is what the name means in the study
    that drew the config.
    """

    weights: Annotated[str, LATER] = Field(NO_WEIGHTS, min_length=1, max_length=100)
    normalise: Annotated[Literal["weights", "data"], WITH_WEIGHTS, LATER] = "weights"
    start: Annotated[Start | None, LATER, FILLED_IN] = None
