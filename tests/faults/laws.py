"""What must hold beyond the counts: no file is torn, and what is trained twice comes out
the same.
"""

import hashlib
import re

from scene import Scene

TRAINED = re.compile(r"trial (\d+) epoch (\d+) of \d+: (.*), [\d.]+ s$")

BEGUN = re.compile(r"trial (\d+) (?:starts|goes on after epoch (\d+))$")


def torn(at: Scene) -> list[str]:
    """Blobs under their final names whose bytes are others: none, whatever was killed."""
    files = [file for file in (at.artifacts / "blobs").glob("??/*") if len(file.name) == 62]
    return [
        f"the blob {file.name[:12]} is torn"
        for file in files
        if _sha(file.read_bytes()) != file.parent.name + file.name
    ]


def told_apart(at: Scene) -> list[str]:
    """Epochs that two processes trained with different scores or losses: a resume would not have
    been exact.
    """
    first: dict[tuple[str, str], str] = {}
    found = []
    for _, line in list(at.heard):
        if match := TRAINED.search(line):
            number, epoch, outcome = match.groups()
            if first.setdefault((number, epoch), outcome) != outcome:
                found.append(
                    f"trial {number} epoch {epoch} gave {first[number, epoch]}, then {outcome}"
                )
    return found


def fell_back(at: Scene) -> list[str]:
    """Trials that did not go on from what their killed worker had saved: from an earlier epoch, or
    anew.
    """
    found = [line for _, line in at.heard if "starts anew" in line]
    for when, number, epoch in at.saved:
        begun = (
            match
            for heard_at, line in at.heard
            if heard_at > when and (match := BEGUN.search(line))
        )
        first = next((match for match in begun if int(match[1]) == number), None)
        if first and int(first[2] or 0) < epoch:
            found.append(
                f"trial {number} had saved epoch {epoch}, and then "
                f"{first[0].removeprefix(f'trial {number} ')}"
            )
    return found


def trained_again(at: Scene) -> int:
    """How many epochs were trained more than once, whoever trained them."""
    epochs = [match.group(1, 2) for _, line in list(at.heard) if (match := TRAINED.search(line))]
    return len(epochs) - len(set(epochs))


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
