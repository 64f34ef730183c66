"""Writes through the dashboard that nobody should be able to make, while workers train; and the one
that people may.
"""

import hashlib
import json
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager

from audit import Row, audit
from scene import Scene, scene

EVIL = {"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
FILE = {"file": "data:text/html;base64,PGI+", "filename": "page.html"}


def foreign_writes() -> Row:
    """What destroys, and what another site sends, through a real dashboard: refused; failing a
    trial by hand works.
    """
    with scene(4, 40, "--set", "pruning={kind: none}") as at:
        with dashboard(at) as url:
            workers = [at.start(), at.start()]
            ended = at.wait(lambda: ended_trial(at), "a trial with pictures to end", 600)
            # which has just begun
            running = at.wait(lambda: second_trial(at), "the trial after it")
            before = content(at, ended)
            writes = foreign(at, running, ended)
            codes = [
                ask(f"{url}{path}", method, body, headers) for method, path, body, headers in writes
            ]
            kept = content(at, ended) == before
            by_hand = ask(
                f"{url}/api/trials/{running}/tell", "POST", {"state": "Fail"}, {"Origin": url}
            )
            at.wait(lambda: at.said("ended by somebody else"), "the worker to notice", 60)
            at.finish()
            kept = kept and content(at, ended) == before
        at.budget += 1  # five trials, of which four count
        row = audit(at, "foreign writes through the dashboard", len(writes), failed=1)
    row.note = f"answers {sorted(set(codes))}, by hand {by_hand}"
    row.wrong += [
        f"{write[:2]}: {code}"
        for write, code in zip(writes, codes, strict=True)
        if code // 100 != 4
    ]
    row.wrong += [] if kept else ["the study's rows, ids, weights or pictures have changed"]
    row.wrong += [] if by_hand == 204 else [f"a trial cannot be failed by hand: {by_hand}"]
    row.wrong += (
        ["a worker died of it"] if any(worker.process.returncode for worker in workers) else []
    )
    return row


@contextmanager
def dashboard(at: Scene) -> Iterator[str]:
    """The dashboard of a scene, as a process of its own; its URL."""
    command, environment = at.command("dashboard", "--port", "0")
    with subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    ) as process:
        assert process.stdout is not None
        try:
            yield (
                process.stdout.readline()
                .removeprefix("dashboard: ")
                .strip()
                .removesuffix("/dashboard")
            )
            process.terminate()
            assert process.wait(30) == 0, "the dashboard did not end as it should"
        finally:
            process.kill()


def foreign(at: Scene, running: int, ended: int) -> list[tuple[str, str, object, dict[str, str]]]:
    """Method, path, body and headers of each write."""
    ((study,),) = at.query("SELECT study_id FROM studies")
    artifact, *_ = pictures(at, ended)
    note = {"version": 1, "body": "mine"}
    return [
        ("POST", f"/api/studies/{study}/rename", {"study_name": "other"}, {}),
        ("DELETE", f"/api/studies/{study}", None, {}),
        ("DELETE", f"//api/studies/{study}/", None, {}),
        ("POST", "/incompatible-rdb-schema", b"", FORM | EVIL),
        ("POST", "/incompatible-rdb-schema", b"", FORM),
        ("PUT", f"/api/studies/{study}/note", note, EVIL),
        ("PUT", f"/api/studies/{study}/note", note, {"Host": "evil.example"}),
        ("GET", "/api/studies", None, {"Host": "evil.example"}),
        ("POST", f"/api/artifacts/{study}/{running}", FILE, {}),
        ("DELETE", f"/api/artifacts/{study}/{ended}/{artifact}", None, {}),
        ("POST", f"/api/trials/{running}/tell", {"state": "Complete", "values": [1.0]}, {}),
        ("POST", f"/api/trials/{running}/tell", {"state": "Fail"}, EVIL),
        ("POST", f"/api/trials/{running}/user-attrs", {"user_attrs": {"message": "forged"}}, {}),
    ]


def ended_trial(at: Scene) -> int:
    """A complete trial that has pictures; 0 as long as there is none."""
    with_pictures = (
        "trials JOIN trial_system_attributes USING (trial_id) WHERE key LIKE 'artifacts:%'"
    )
    found = at.query(
        f"SELECT trial_id FROM {with_pictures} AND state = 'COMPLETE' ORDER BY number LIMIT 1"
    )
    return int(found[0][0]) if found else 0


def second_trial(at: Scene) -> int:
    """A running trial that some worker has begun after its first one; 0 for none."""
    found = at.query(
        "SELECT trial_id FROM trials WHERE state = 'RUNNING' AND number >= 2 ORDER BY number DESC "
        "LIMIT 1"
    )
    return int(found[0][0]) if found else 0


def pictures(at: Scene, trial: int) -> dict[str, object]:
    """The rows of a trial's pictures by their ids."""
    asked = (
        f"SELECT key, value_json FROM trial_system_attributes WHERE trial_id = {trial} AND "
        f"key "
        f"LIKE 'artifacts:%'"
    )
    return {str(key).removeprefix("artifacts:"): row for key, row in at.query(asked)}


def content(at: Scene, trial: int) -> dict[str, object]:
    """What is settled: the study and our own row of it, an ended trial, its weights and its
    pictures; and what none wrote.
    """
    files = [file for file in (at.artifacts / "pictures").rglob("*") if file.is_file()]
    shown = {
        artifact: [
            row,
            [
                hashlib.sha256(file.read_bytes()).hexdigest()
                for file in files
                if file.name in artifact
            ],
        ]
        for artifact, row in pictures(at, trial).items()
    }
    assert all(hashes for _, hashes in shown.values()), f"pictures without bytes: {shown}"
    return shown | {
        "study": at.query("SELECT study_id, study_name FROM studies"),
        "ours": at.query("SELECT study_id, spec::text FROM search_study"),
        "trial": at.query(
            f"SELECT number, state, value FROM trials JOIN trial_values USING (trial_id) WHERE "
            f"trial_id = {trial}"
        ),
        "weights": at.query(
            f"SELECT blob FROM search_checkpoint WHERE trial_id = {trial} AND kind = 'best'"
        ),
        "notes": at.query("SELECT key FROM study_system_attributes WHERE key LIKE 'dashboard:%'"),
        "uploads": at.query(
            "SELECT trial_id FROM trial_system_attributes WHERE value_json LIKE '%page.html%'"
        ),
        "forged": at.query(
            "SELECT trial_id FROM trial_user_attributes WHERE value_json LIKE '%forged%'"
        ),
    }


def ask(url: str, method: str, body: object, headers: dict[str, str]) -> int:
    """The status of an answer."""
    content = body if isinstance(body, bytes | None) else json.dumps(body).encode()
    request = urllib.request.Request(
        url, content, {"Content-Type": "application/json"} | headers, method=method
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


ALL = [foreign_writes]
