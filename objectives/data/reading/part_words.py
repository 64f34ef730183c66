"""What people call the parts of a data set."""

PART_WORDS = {
    "train": ("train", "training"),
    "validation": ("val", "valid", "validation"),
    "test": ("test", "testing"),
}


def part_named(word: str) -> str:
    """Return the part that a word means; empty for none."""
    for part, words in PART_WORDS.items():
        if word.casefold() in words:
            return part
    return ""
