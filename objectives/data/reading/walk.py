"""The files below a folder, links followed: one way for all who list frames, and nothing is left
out without a word.
"""

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from objectives.errors import Problem


@dataclass(frozen=True)
class Listing:
    """What lies below a folder."""

    files: tuple[str, ...]  # paths that begin with the folder's, sorted; hidden ones are left out
    problems: tuple[Problem, ...]  # what could not be entered or read, and what would be read twice


def list_files(folder: Path, root: Path) -> Listing:
    """Return every file below ``folder``, in folders and behind links alike; problems name places
    below ``root``.

    Hidden files and folders (.DS_Store, ._a.png, .ipynb_checkpoints) are left out.
    """
    walk = _Walk(root)
    files = sorted(walk.below(str(folder)))
    return Listing(tuple(files), tuple(sorted(walk.problems, key=str)))


@dataclass
class _Walk:
    """A walk that is under way; links are followed when everything else is known, so that they are
    what repeats a folder.
    """

    root: Path
    folders: list[str] = field(default_factory=list)  # still to be entered
    links: list[str] = field(default_factory=list)  # to folders, to be entered after those
    # by device and inode: as what a folder was entered
    entered: dict[tuple[int, int], str] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def below(self, folder: str) -> Iterator[str]:
        """Yield the files of a folder and of all those in it."""
        self.folders = [folder]
        while self.folders or self.links:
            path = self.folders.pop() if self.folders else self.links.pop(0)
            try:
                yield from self._enter(path)
            except OSError as error:
                self._refuse(
                    path, "must be a folder that can be read", error.strerror or str(error)
                )

    def _enter(self, folder: str) -> Iterator[str]:
        facts = os.stat(folder)  # noqa: PTH116 - a Path for each of many files is slow
        before = self.entered.setdefault((facts.st_dev, facts.st_ino), folder)
        if before != folder:
            self._refuse(
                folder,
                "a folder must not be read twice: remove the link",
                f"{self._shown(before)} again",
            )
            return
        with os.scandir(folder) as opened:
            entries = sorted(
                (entry for entry in opened if not entry.name.startswith(".")),
                key=lambda entry: entry.name,
            )
        for entry in entries:
            if entry.is_file(follow_symlinks=False) or stat.S_ISREG(mode := self._mode(entry)):
                yield entry.path
            elif stat.S_ISDIR(mode):
                (self.links if entry.is_symlink() else self.folders).append(entry.path)
            elif mode:
                self._refuse(
                    entry.path, "must be a file or a folder", "a pipe, a socket or a device"
                )

    def _mode(self, entry: os.DirEntry[str]) -> int:
        """Return what an entry is, behind its link if it is one; 0 where nobody can tell, which is
        a problem.
        """
        try:
            return entry.stat().st_mode
        except OSError as error:
            self._refuse(
                entry.path, "a link must lead to a file or a folder", error.strerror or str(error)
            )
            return 0

    def _refuse(self, path: str, rule: str, value: str) -> None:
        self.problems.append(Problem(self._shown(path), rule, value))

    def _shown(self, path: str) -> str:
        return Path(path).relative_to(self.root).as_posix()
