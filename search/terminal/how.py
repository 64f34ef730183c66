"""How workers of this host are to train."""

from dataclasses import dataclass

from objectives.training.augment_on import AugmentOn


@dataclass(frozen=True)
class How:
    """What workers are told of their devices; what is None they have from the environment."""

    device: str = "auto"
    per_gpu: str = ""
    augment: AugmentOn | None = None

    @property
    def words(self) -> list[str]:
        """The options of `search worker` that say it."""
        words = [f"--device={self.device}"]
        words += [f"--per-gpu={self.per_gpu}"] if self.per_gpu else []
        return words + ([f"--augment={self.augment}"] if self.augment else [])
