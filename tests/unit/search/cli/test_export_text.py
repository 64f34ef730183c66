"""What the terminal says of a bundle."""

from rich.console import Console

from objectives.bundle.provenance import PartScore
from search.cli.export_text import score_table
from tests.support.bundles_made import origin
from tests.support.frame_specs import frame_spec


def test_only_classes_that_are_predicted_have_a_row() -> None:
    spec = frame_spec((8, 8), ("sky", "soil", "sand", "rock"), scored=(1, 3))
    part = PartScore(score=0.6, iou=(0.0, 0.7, 0.0, 0.5), frames=4)
    console = Console(width=80)

    with console.capture() as said:
        console.print(score_table(spec, origin(part, test=part)))

    rows = [line.split() for line in said.get().splitlines()]
    assert rows[1:] == [
        ["mean", "IoU", "0.6000", "0.6000"],
        ["IoU", "of", "soil", "0.7000", "0.7000"],
        ["IoU", "of", "rock", "0.5000", "0.5000"],
    ]
