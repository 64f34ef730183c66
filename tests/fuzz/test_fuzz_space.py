"""Space files and ``--set`` options: good ones with random edits end in a space that can be stored,
or in clear words.
"""

import tempfile
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from objectives.errors import SearchError
from spaces import Space, load_space, load_stored_space, preset_names
from spaces.fields.schema import leaves_by_path
from tests.support.fuzzing import (
    ODD_TEXT,
    ODD_VALUES,
    assert_clear,
    cases,
    changed_texts,
    changed_trees,
    good_or_refused,
)

pytestmark = pytest.mark.long

PRESETS = {
    name: (resources.files("spaces") / "presets" / f"{name}.yaml").read_text(encoding="utf-8")
    for name in preset_names()
}
OWN = """\
extends: small
model.depth: {int: [2, 5]}
model.skip: {choice: [concat, attention]}
model: {kind: {choice: [unet, deeplab]}}
loss.focal: 0.0
loss: {dice: {weight: optional}, class_weights: {kind: given, values: [1, 2, 3]}}
optimiser.learning_rate: {float: [1.0e-4, 1.0e-2], log: true}
train.epochs: 20
pruning: {kind: top_k, epoch: 1, keep: 5}
recipes: [A5, C1]
control:
  model.depth: 4
"""
TEXTS = [*PRESETS.values(), OWN]
TREES = [yaml.safe_load(text) for text in TEXTS]
BOMB = "a: &a [x]\n" + "".join(
    f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(12)
)
FRAGMENTS = [
    *(
        "{int: [2, 5]}",
        "{float: [0, .inf]}",
        "{int: [0, 9007199254740993], step: 1}",
        "{choice: []}",
        "{choice: [[1, 2], 3]}",
    ),
    *(
        "{weight: optional}",
        "{int: [5, 2], log: true}",
        "{float: [nan, 1]}",
        "!!python/object/apply:os.system ['id']\n",
        "!!int x",
    ),
    *(
        "&a ",
        "*a ",
        "<<: *a\n",
        BOMB,
        "[" * 3000,
        "{a: " * 800,
        "- " * 500,
        "\t",
        "\0",
        "\x07",
        "\ufeff",
        "%YAML 9.9\n---\n",
        "--- ",
    ),
    *(
        "extends: mars\n",
        "extends: [small]\n",
        "model.depth: 3\n",
        "9" * 5000,
        "1e400",
        "0x1F",
        "2020-99-99",
        ": ",
        "? ",
        "|\n",
        ">-\n",
    ),
    *(
        "control: {control: {control: 1}}\n",
        "pruning: {kind: top_k, epoch: 99999999999999999999, keep: -1}\n",
        "train.epochs: 1e3\n",
    ),
]


def read(target: str, text: str, *overrides: str) -> None:
    with tempfile.TemporaryDirectory() as folder, good_or_refused(target):
        file = Path(folder) / "space.yaml"
        file.write_bytes(text.encode(errors="surrogatepass"))
        assert_whole(load_space(str(file), overrides))


def assert_whole(space: Space) -> None:
    """A space that was taken works in every way that a study needs."""
    assert load_stored_space(space.to_dict()) == space
    assert {row.path for row in space.describe()} == space.domains.keys()
    space.encode(space.default())


@cases(2000)
@given(text=st.sampled_from(TEXTS).flatmap(lambda text: changed_texts(text, FRAGMENTS)))
def test_edited_texts(text: str) -> None:
    read("space file, edited text", text)


@cases(1800)
@given(tree=st.sampled_from(TREES).flatmap(changed_trees))
def test_edited_trees(tree: Any) -> None:
    read("space file, edited tree", yaml.safe_dump(tree, allow_unicode=False))


@cases(1300)
@given(
    name=st.sampled_from(preset_names()),
    overrides=st.lists(
        st.one_of(
            ODD_TEXT,
            st.tuples(
                st.one_of(ODD_TEXT, st.sampled_from(sorted(leaves_by_path()))),
                st.one_of(ODD_TEXT, st.sampled_from(FRAGMENTS), ODD_VALUES.map(str)),
            ).map("=".join),
        ),
        min_size=1,
        max_size=3,
    ),
)
def test_overrides(name: str, overrides: list[str]) -> None:
    with good_or_refused("--set"):
        assert_whole(load_space(name, overrides))


@cases(400)
@given(
    stored=st.sampled_from([load_space(name).to_dict() for name in ("small", "tiny")]).flatmap(
        changed_trees
    )
)
def test_stored_spaces(stored: Any) -> None:
    with good_or_refused("stored space"):
        load_stored_space(stored).default()


@pytest.mark.parametrize(
    "bomb",
    [BOMB, "[" * 100_000, "a: " + "{b: " * 50_000, "? " * 10_000, "9" * 1_000_000, "-" * 100_000],
)
def test_bombs_are_refused(bomb: str, tmp_path: Path) -> None:
    (tmp_path / "space.yaml").write_text(bomb)
    with pytest.raises(SearchError) as raised:
        load_space(str(tmp_path / "space.yaml"))
    assert_clear(str(raised.value))
