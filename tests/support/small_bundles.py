"""Two bundles of the smallest networks, the frames they were measured on, and what they predict."""

from pathlib import Path

import numpy as np
import torch
from torch import nn

from objectives.bundle.provenance import FlipScores, Origin, PartScore, Provenance, current_versions
from objectives.config import Config, ConvStack, Train, UNet
from objectives.predict.engines import EngineName, EngineWanted
from objectives.predict.masks import predict
from objectives.program.settings import FlipsWanted, Member, ProgramSettings
from objectives.scoring.evaluate import evaluate
from tests.support.bundles_made import origin
from tests.support.frame_specs import frame_spec

CPU = torch.device("cpu")
SPEC = frame_spec((16, 24), ("background", "soil", "bedrock", "sand", "big_rock"), scored=(1, 2, 4))
SMALL = Config(model=UNet(depth=2, base_filters=4))
HALF = Config(model=ConvStack(depth=1, base_filters=4), train=Train(scale=0.5))
RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (7, 16, 24, 1)).astype(np.uint8)
MASKS = RNG.integers(0, 5, (7, 16, 24)).astype(np.uint8)
TWO = ProgramSettings.of(
    (Member(config=SMALL, weight=3.0), Member(config=HALF)), SPEC, ("horizontal",)
)


def provenance_of(program: nn.Module, members: int) -> Provenance:
    """Where such a program comes from, and its score on the frames here."""
    evaluation = evaluate(program, IMAGES, MASKS, SPEC, device=CPU)
    score = evaluation.score
    return origin(
        PartScore.of(score, evaluation.iou.tolist(), len(IMAGES)),
        versions=current_versions(),
        program="git " + "a" * 40,
        space="b" * 64,
        members=tuple(
            Origin(study="terrain", trial=7 + index, seed=3, epoch=20) for index in range(members)
        ),
        flips=FlipScores(flips=("horizontal",), without=0.25, averaged=score, used=True),
        reproduce=("search init --storage postgresql://me:secret@db/search", "search export-best"),
    )


def predicted(
    bundle: Path,
    folder: Path,
    *,
    engine: EngineName = "torch",
    flips: FlipsWanted = "auto",
    source: str = "frames.npz",
) -> np.ndarray:
    """The masks that a bundle predicts for a file in a folder."""
    out = folder / f"{bundle.name}-{engine}-{flips}.npz"
    predict(bundle, folder / source, out, engine=EngineWanted(engine, flips=flips))
    return np.asarray(np.load(out)["masks"])
