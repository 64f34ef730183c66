"""A program: train every state in a folder to its end. A process of its own, as a worker on another
machine would go on.

python -m tests.support.resume_states DATA FOLDER: of each ``NAME.json`` (a config) and
``NAME.EPOCH.state`` it makes ``NAME.EPOCH.ended``.
"""

import sys
from pathlib import Path

import torch

from objectives.config import Config
from objectives.data.dataset import load_dataset
from objectives.training.fit import fit, prepare

SEED = 3


def main(data: Path, folder: Path) -> None:
    torch.set_num_threads(1)
    for path in sorted(folder.glob("*.state")):
        config = Config.model_validate_json(
            (folder / f"{path.name.split('.')[0]}.json").read_text()
        )
        training = prepare(config, load_dataset(data), seed=SEED, device=torch.device("cpu"))
        training.state.load_bytes(path.read_bytes())
        list(fit(training))
        path.with_suffix(".ended").write_bytes(training.state.to_bytes())


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
