"""A study's place for each test of the chart's Jobs and pods."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.chart.lab import Lab, made_lab


@pytest.fixture
def lab(search: Any, tmp_path: Path, s3_endpoint: str) -> Iterator[Lab]:
    with made_lab(search, tmp_path, s3_endpoint) as made:
        yield made
