"""How much of a GPU the largest of a study's likely configs needs."""

from pathlib import Path

from objectives.data.dataset import load_dataset
from objectives.errors import UserError
from objectives.training.resources import estimate
from search.process.causes import UNKNOWN
from search.study.spec import StudySpec
from search.study.spread import likely_configs
from spaces import load_stored_space


def largest_need(spec: StudySpec, directory: Path) -> int:
    """Return how many bytes; of a config that cannot be built or estimated nothing is known."""
    data = load_dataset(directory)
    needs = [0]
    for config in likely_configs(spec, load_stored_space(spec.space)):
        try:
            needs.append(estimate(config, data.spec, bf16=config.train.bf16).memory_bytes)
        except (UserError, *UNKNOWN):
            continue
    return max(needs)
