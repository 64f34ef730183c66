"""The options of every command that trains on this host."""

from dataclasses import dataclass
from typing import Annotated

import typer

from objectives.training.augment_on import AugmentOn
from search.cli.options import Device, PerGpu
from search.terminal.how import How


@dataclass(frozen=True, kw_only=True)
class LocalOptions:
    """On which devices of this host trials are trained, and how."""

    device: Device = "auto"
    per_gpu: PerGpu = ""
    augment: Annotated[
        AugmentOn,
        typer.Option(
            "--augment",
            envvar="SEARCH_AUGMENT",
            help="Where frames are augmented: by processes of the host, or in whole batches on the device "
            "that trains, where the training part lives then if it takes no more than 0.3 of its memory; "
            "auto: there on a GPU. The two mean the same and draw other numbers: a trial goes on as it "
            "began.",
        ),
    ] = "host"

    @property
    def how(self) -> How:
        """The same for workers that are started here."""
        return How(self.device, self.per_gpu, self.augment)
