"""The audit itself under test: a sound study is spoilt in every way that it claims to see."""

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg2
from audit import Row, audit
from laws import told_apart, torn
from ledger import Ledger
from scene import MARK, Scene, scene

Spoiling = Callable[[Scene], Iterator[None]]


def _in_the_database(change: str, back: str) -> Spoiling:
    def spoil(at: Scene) -> Iterator[None]:
        at.query(change)
        yield
        at.query(back)

    return spoil


def _in_the_words(*lines: str) -> Spoiling:
    def spoil(at: Scene) -> Iterator[None]:
        heard = list(at.heard)
        at.heard += [(1e9 + place, line) for place, line in enumerate(lines)]
        yield
        at.heard[:] = heard

    return spoil


def _saved(epoch: int, line: str) -> Spoiling:
    def spoil(at: Scene) -> Iterator[None]:
        at.saved.append((1e9 - 1, 1, epoch))
        yield from _in_the_words(line)(at)
        at.saved.clear()

    return spoil


def _a_blob(damage: Callable[[Path], object]) -> Spoiling:
    def spoil(at: Scene) -> Iterator[None]:
        blob = str(
            at.query("SELECT blob FROM search_checkpoint WHERE kind = 'best' ORDER BY score DESC")[
                0
            ][0]
        )
        file = at.artifacts / "blobs" / blob[:2] / blob[2:]
        content = file.read_bytes()
        damage(file)
        yield
        file.write_bytes(content)

    return spoil


def _orphan(at: Scene) -> Iterator[None]:
    with subprocess.Popen(["sleep", "60"], env=os.environ | {MARK: at.mark}) as process:
        yield
        process.kill()


def _turn_a_bit(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


OF_ONE = "(SELECT trial_id FROM trials WHERE number = 1)"
SPOILT: dict[str, Spoiling] = {
    "a trial runs for ever": _in_the_database(
        "UPDATE trials SET state = 'RUNNING' WHERE number = 1",
        "UPDATE trials SET state = 'COMPLETE' WHERE number = 1",
    ),
    "a trial has failed": _in_the_database(
        "UPDATE trials SET state = 'FAIL' WHERE number = 1",
        "UPDATE trials SET state = 'COMPLETE' WHERE number = 1",
    ),
    "a trial too many": _in_the_database(
        "INSERT INTO trials (number, study_id, state) SELECT 3, study_id, 'COMPLETE' FROM studies",
        "DELETE FROM trials WHERE number = 3",
    ),
    "a number twice": _in_the_database(
        "UPDATE trials SET number = 1 WHERE number = 2",
        "UPDATE trials SET number = 2 WHERE number = 1 AND trial_id > (SELECT min(trial_id) FROM "
        "trials WHERE number = 1)",
    ),
    "an epoch is missing": _in_the_database(
        f"UPDATE trial_intermediate_values SET step = 99 WHERE step = 3 AND trial_id = {OF_ONE}",
        f"UPDATE trial_intermediate_values SET step = 3 WHERE step = 99 AND trial_id = {OF_ONE}",
    ),
    "the last epoch is missing": _in_the_database(
        f"CREATE TABLE aside AS SELECT * FROM trial_intermediate_values WHERE step = 6 AND "
        f"trial_id = {OF_ONE};"
        f"DELETE FROM trial_intermediate_values WHERE step = 6 AND trial_id = {OF_ONE}",
        "INSERT INTO trial_intermediate_values SELECT * FROM aside; DROP TABLE aside",
    ),
    "all epochs are missing": _in_the_database(
        f"CREATE TABLE aside AS SELECT * FROM trial_intermediate_values WHERE trial_id = {OF_ONE};"
        f"DELETE FROM trial_intermediate_values WHERE trial_id = {OF_ONE}",
        "INSERT INTO trial_intermediate_values SELECT * FROM aside; DROP TABLE aside",
    ),
    "an epoch has a score and no measures": _in_the_database(
        f"CREATE TABLE aside AS SELECT * FROM search_epoch WHERE epoch = 3 AND trial_id = {OF_ONE};"
        f"DELETE FROM search_epoch WHERE epoch = 3 AND trial_id = {OF_ONE}",
        "INSERT INTO search_epoch SELECT * FROM aside; DROP TABLE aside",
    ),
    "another score than the best epoch's": _in_the_database(
        f"UPDATE trial_values SET value = value + 0.01 WHERE trial_id = {OF_ONE}",
        f"UPDATE trial_values SET value = value - 0.01 WHERE trial_id = {OF_ONE}",
    ),
    "a state is left": _in_the_database(
        "INSERT INTO search_checkpoint SELECT trial_id, 'last', blob, epoch, score FROM "
        "search_checkpoint LIMIT 1",
        "DELETE FROM search_checkpoint WHERE kind = 'last'",
    ),
    "the best weights are gone": _a_blob(lambda file: file.unlink()),
    "a bit of the best weights is turned": _a_blob(_turn_a_bit),
    "a trial ends twice": _in_the_words("worker 1: trial 1 completed after 6 epochs"),
    "a minute is trained again": _in_the_words(
        "trial 1 epoch 5 of 6: 0.5000, loss 0.5, 30.00 s",
        "trial 1 epoch 6 of 6: 0.5000, loss 0.5, 30.00 s",
        "worker 1: trial 1 goes on after epoch 4",
    ),
    "a trial starts anew": _in_the_words(
        "worker 1: trial 1 has no checkpoint that is whole, and starts anew"
    ),
    "a trial goes on from before what was saved": _saved(
        4, "worker 1: trial 1 goes on after epoch 3"
    ),
    "a trial starts though it was saved": _saved(4, "worker 1: trial 1 starts"),
    "a process is left": _orphan,
}


def audited() -> Row:
    """A sound study is spoilt in twenty ways, one after the other: the audit sees each."""
    with scene(3, 6, "--set", "pruning={kind: none}") as at:
        ledger = Ledger(at)
        ledger.start()
        at.finish()
        row = audit(at, "the audit itself, spoilt studies", len(SPOILT) + 3)
        row.wrong += ledger.trespasses() + torn(at) + told_apart(at)
        missed = [name for name, spoiling in SPOILT.items() if not _seen(at, spoiling)]
        _write_as_a_stranger(at)
        missed += [] if ledger.trespasses() else ["a stranger writes"]
        blob = next((at.artifacts / "blobs").glob("[0-9a-f][0-9a-f]/*"))
        _turn_a_bit(blob)
        missed += [] if torn(at) else ["a blob is torn"]
        at.heard.append((1e9, "trial 1 epoch 1 of 6: 0.9999, loss 0.1, 1.00 s"))
        missed += [] if told_apart(at) else ["an epoch comes out otherwise the second time"]
        row.wrong += [f"not seen: {name}" for name in missed]
        row.note = f"{row.injected - len(missed)} of {row.injected} seen"
        return row


def _seen(at: Scene, spoiling: Spoiling) -> bool:
    with contextmanager(spoiling)(at):
        return bool(audit(at, "spoilt", 1).wrong)


def _write_as_a_stranger(at: Scene) -> None:
    url = at.server.url.replace("postgres@", "writer9@")
    connection = psycopg2.connect(url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            f"UPDATE trial_user_attributes SET value_json = value_json WHERE trial_id = {OF_ONE}"
        )
    connection.close()


ALL = [audited]
