"""What must hold beyond the counts: no file is torn, and what is trained twice comes out the same."""

import hashlib
import re

from scene import Scene

TRAINED = re.compile(r"trial (\d+) epoch (\d+) of \d+: (.*), [\d.]+ s$")


def torn(at: Scene) -> list[str]:
    """Blobs under their final names whose bytes are others: none, whatever was killed."""
    files = [file for file in (at.artifacts / "blobs").glob("??/*") if len(file.name) == 62]
    return [f"the blob {file.name[:12]} is torn" for file in files if _sha(file.read_bytes()) != file.parent.name + file.name]


def told_apart(at: Scene) -> list[str]:
    """Epochs that two processes trained with different scores or losses: a resume would not have been exact."""
    first: dict[tuple[str, str], str] = {}
    found = []
    for _, line in list(at.heard):
        if match := TRAINED.search(line):
            number, epoch, outcome = match.groups()
            if first.setdefault((number, epoch), outcome) != outcome:
                found.append(f"trial {number} epoch {epoch} gave {first[number, epoch]}, then {outcome}")
    return found


def trained_again(at: Scene) -> int:
    """How many epochs were trained more than once, whoever trained them."""
    epochs = [match.group(1, 2) for _, line in list(at.heard) if (match := TRAINED.search(line))]
    return len(epochs) - len(set(epochs))


def _sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
