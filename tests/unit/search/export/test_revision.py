"""Which program wrote a bundle: a git revision, or a version."""

import subprocess
from pathlib import Path

import pytest

from search.export.revision import program_revision
from search.program import PACKAGE


def git(folder: Path, *words: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
    return subprocess.run(
        ["git", "-C", folder, *identity, *words], capture_output=True, text=True, check=True
    ).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    git(tmp_path, "init", "-q")
    (tmp_path / "program.py").write_text("one")
    git(tmp_path, "add", "program.py")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def test_a_checkout_is_named_by_its_commit(checkout: Path) -> None:
    (checkout / "notes.txt").write_text("files that git does not know change no program")
    assert program_revision(checkout) == f"git {git(checkout, 'rev-parse', 'HEAD')}"


def test_changes_are_said(checkout: Path) -> None:
    (checkout / "program.py").write_text("two")
    assert (
        program_revision(checkout)
        == f"git {git(checkout, 'rev-parse', 'HEAD')}, with uncommitted changes"
    )


def test_without_a_checkout_the_version_is_named(tmp_path: Path) -> None:
    assert program_revision(tmp_path).startswith(f"{PACKAGE}")
    assert "git" not in program_revision(tmp_path)
    (tmp_path / "empty" / ".git").mkdir(parents=True)  # no commit yet, or git refuses
    assert program_revision(tmp_path / "empty").startswith(PACKAGE)
