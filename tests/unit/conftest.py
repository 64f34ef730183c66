"""What several files of tests share: bundles, and a folder for image files."""

from pathlib import Path

import pytest
import torch

from objectives.bundle.bundle_folder import check_bundle, write_bundle
from objectives.ensemble.program import build_program
from objectives.program.settings import ProgramSettings
from tests.support.small_bundles import IMAGES, MASKS, SMALL, SPEC, TWO, provenance_of

CPU = torch.device("cpu")


@pytest.fixture(scope="session")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two networks, one of which shrinks its frames, and mirrored frames; checked after writing."""
    directory = tmp_path_factory.mktemp("formats") / "ensemble"
    torch.manual_seed(0)
    # as training leaves it
    program = build_program(TWO).to(memory_format=torch.channels_last).eval()
    write_bundle(
        directory,
        program,
        TWO,
        provenance_of(program, 2),
        frames={"validation": []},
        check=lambda bundle: check_bundle(bundle, IMAGES, MASKS, device=CPU),
    )
    return directory


@pytest.fixture(scope="session")
def single(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network that takes frames of any size."""
    directory = tmp_path_factory.mktemp("formats") / "single"
    torch.manual_seed(1)
    settings = ProgramSettings.single(SMALL, SPEC)
    program = build_program(settings).eval()
    write_bundle(directory, program, settings, provenance_of(program, 1), frames={"validation": []})
    return directory


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all cells of a matrix: each writes its file anew."""
    return tmp_path_factory.mktemp("cells")
