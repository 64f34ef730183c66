"""A study of a thousand trials, written without training: their rows, their pointers, and the blobs
of some.
"""

import hashlib
from pathlib import Path

from sqlalchemy import text

from search.artifacts import open_objects
from search.study.stored import Study

# a thousand trials: the control, 989 ended ones of all kinds, and ten at hand, each with all its
# pointers
TRIALS = """
    INSERT INTO trials (number, study_id, state, datetime_start, datetime_complete)
    SELECT n, :study_id, (CASE WHEN n >= 990 THEN 'RUNNING' WHEN n % 10 = 3 THEN 'PRUNED' WHEN n % 10 = 7 THEN 'FAIL'
                          ELSE 'COMPLETE' END)::trialstate, now(), CASE WHEN n < 990 THEN now() END
    FROM generate_series(0, 999) AS n
"""
VALUES = """
    INSERT INTO trial_values (trial_id, objective, value, value_type)
    SELECT trial_id, 0, CASE WHEN number = 0 THEN 0.001 ELSE 0.1 + number * 7919 % 1000 / 2000.0 END, 'FINITE'
    FROM trials WHERE study_id = :study_id AND state IN ('COMPLETE', 'PRUNED')
"""
POINTERS = """
    INSERT INTO search_checkpoint (trial_id, kind, blob, epoch, score)
    SELECT trial_id, kind, encode(sha256(convert_to(number || ' ' || kind, 'UTF8')), 'hex'), 4, 0.5
    FROM trials CROSS JOIN (VALUES ('last'), ('best'), ('last before'), ('best before')) AS kinds (kind)
    WHERE study_id = :study_id
"""
KINDS = ("last", "best", "last before", "best before")


def fill(study: Study, artifacts: str, numbers: range = range(1000)) -> None:
    """The thousand trials, and the blobs of these of them."""
    with study.engine.begin() as connection:
        for statement in (TRIALS, VALUES, POINTERS):
            connection.execute(text(statement), {"study_id": study.id})
        connection.execute(
            text("DELETE FROM search_checkpoint USING trials WHERE trials.trial_id = "
                 "search_checkpoint.trial_id "
                 "AND NOT number BETWEEN :first AND "
                 ":last"), {"first": numbers[0], "last": numbers[-1]}
        )  # fmt: skip
    blobs = open_objects(artifacts, "blobs")
    for words in (f"{number} {kind}" for number in numbers for kind in KINDS):
        if artifacts.startswith("s3://"):
            blobs.write(sha(words), words.encode())
        else:  # without flushing each to the disk
            file = Path(blobs.describe(sha(words)))
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(words.encode())


def sha(words: str) -> str:
    """The name of a blob of these words."""
    return hashlib.sha256(words.encode()).hexdigest()
