"""What a real dashboard lets through: reads and three writes of its own page and of scripts, and
nothing else.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages import RDBStorage
from optuna.trial import TrialState

from search.artifacts.pictures import attach_picture, open_pictures
from search.database.connections import database_url
from tests.support.dashboard_process import ask, dashboard, end, send, url_of
from tests.support.painted import png

Command = Callable[..., subprocess.CompletedProcess[str]]
HTML = b"<script>document.title = 'mine'</script>"


@dataclass
class Scene:
    """A dashboard of one study with a running trial; its answers, and what its database and store
    hold.
    """

    url: str
    storage: RDBStorage
    study: optuna.Study
    trial: optuna.Trial
    pictures: tuple[str, str]  # of the study, of the trial
    folder: Path

    @property
    def of_study(self) -> str:
        return f"{self.url}/api/studies/{self.study._study_id}"

    def content(self) -> Any:
        """All that must not change: the study's rows and ids, and every byte of the store."""
        studies = [
            (each._study_id, each.study_name, each.system_attrs)
            for each in self.storage.get_all_studies()
        ]
        trials = [
            (
                each._trial_id,
                each.number,
                each.state,
                each.values,
                each.user_attrs,
                each.system_attrs,
            )
            for each in self.storage.get_all_trials(self.study._study_id)
        ]
        files = {file: file.read_bytes() for file in self.folder.rglob("*") if file.is_file()}
        return studies, trials, files


@pytest.fixture(scope="module")
def scene(
    make_database: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Scene]:
    folder, database = tmp_path_factory.mktemp("artifacts"), database_url(make_database())
    storage = RDBStorage(database, engine_kwargs={"pool_pre_ping": True})
    study = optuna.create_study(storage=storage, study_name="mars", direction="maximize")
    trial = study.ask()
    store = open_pictures(str(folder))
    pictures = [
        attach_picture(owner, storage, store, png("red"), "panel.png") for owner in (study, trial)
    ]
    page = attach_picture(study, storage, store, HTML, "page.html")
    row = {"artifact_id": page, "filename": "page.html", "mimetype": "text/html", "encoding": None}
    storage.set_study_system_attr(study._study_id, f"artifacts:{page}", json.dumps(row))
    with dashboard(database, folder) as process:
        yield Scene(url_of(process), storage, study, trial, (pictures[0], pictures[1]), folder)
        assert end(process)[1] == ""
    storage.remove_session()
    storage.engine.dispose()


def closed(scene: Scene) -> list[tuple[str, str, Any]]:
    """The writes that destroy, or let a page of another's in: method, path, body."""
    study, trial, (ours, its) = scene.study._study_id, scene.trial._trial_id, scene.pictures
    upload = {"file": "data:text/html;base64,PGI+", "filename": "page.html"}
    return [
        ("POST", "/api/studies", {"study_name": "new", "directions": ["maximize"]}),
        ("POST", f"/api/studies/{study}/rename", {"study_name": "venus"}),
        ("DELETE", f"/api/studies/{study}", None),
        ("DELETE", f"/api/studies/{study}/", None),
        ("DELETE", f"//api/studies/{study}", None),
        ("DELETE", f"/api/%73tudies/{study}", None),
        ("DELETE", f"/api%2Fstudies/{study}", None),
        ("DELETE", f"/static/../api/studies/{study}", None),
        ("DELETE", f"/health/../api/studies/{study}", None),
        ("POST", "/incompatible-rdb-schema", b""),
        ("POST", f"/api/artifacts/{study}", upload),
        ("POST", f"/api/artifacts/{study}/{trial}", upload),
        ("DELETE", f"/api/artifacts/{study}/{ours}", None),
        ("DELETE", f"/api/artifacts/{study}/{trial}/{its}", None),
        ("POST", f"/api/trials/{trial}/tell", {"state": "Complete", "values": [1.0]}),
        ("POST", f"/api/trials/{trial}/user-attrs", {"user_attrs": {"end_cause": "completed"}}),
        ("POST", f"/api/studies/{study}/{trial}/skip", {}),
        ("PUT", f"/api/studies/{study}/preference_feedback_component", {"output_type": "note"}),
        ("PUT", f"/api/studies/{study}/note", {"version": 1, "body": ["no text"]}),
    ]


def test_what_destroys_is_refused_with_a_reason_and_changes_nothing(scene: Scene) -> None:
    before = scene.content()
    for method, path, body in closed(scene):
        answer = ask(f"{scene.url}{path}", method, body)
        assert 400 <= answer.status < 500, (method, path, answer)
        assert len(answer.reason) > 5
        assert answer.headers["X-Frame-Options"] == "DENY"
    assert scene.content() == before


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "http://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Host": "evil.example"}],
)
def test_a_page_of_another_site_changes_nothing_and_reads_nothing_by_a_foreign_name(
    scene: Scene, headers: dict[str, str]
) -> None:
    before = scene.content()
    note = {"version": 1, "body": "mine now"}
    assert ask(f"{scene.of_study}/note", "PUT", note, headers).status == 403
    assert (
        ask(
            f"{scene.url}/api/trials/{scene.trial._trial_id}/tell",
            "POST",
            {"state": "Fail"},
            headers,
        ).status
        == 403
    )
    form = {"Content-Type": "application/x-www-form-urlencoded"} | headers
    assert ask(f"{scene.url}/incompatible-rdb-schema", "POST", b"", form).status == 403
    assert ask(f"{scene.url}/api/studies", headers=headers).status == (
        403 if "Host" in headers else 200
    )
    assert scene.content() == before


def test_an_artifact_is_sandboxed_and_for_this_site_alone(scene: Scene) -> None:
    study, trial, (ours, its) = scene.study._study_id, scene.trial._trial_id, scene.pictures
    for path in (f"/artifacts/{study}/{ours}", f"/artifacts/{study}/{trial}/{its}"):
        answer = ask(f"{scene.url}{path}", headers={"Origin": "http://evil.example"})
        assert (answer.status, answer.body) == (200, png("red"))
        assert "Access-Control-Allow-Origin" not in answer.headers
        assert any(
            "sandbox" in policy for policy in answer.headers.get_all("Content-Security-Policy", [])
        )
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert ask(f"{scene.url}/artifacts/99/{ours}").reason == "there is no such study or trial"


def test_reads_of_every_kind_pass(scene: Scene) -> None:
    for path in (
        "/dashboard",
        f"/dashboard/studies/{scene.study._study_id}",
        "/api/meta",
        "/api/studies",
        "/favicon.ico",
    ):
        assert ask(f"{scene.url}{path}").status == 200, path
        assert ask(f"{scene.url}{path}", "HEAD").body == b""
    assert ask(scene.of_study).status == 200
    assert ask(f"{scene.url}/csv/{scene.study._study_id}").body.startswith(b"Number,State")
    assert ask(f"{scene.url}/static/bundle.js").status == 200
    forwarded = ask(
        scene.url, headers={"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https"}
    )
    assert (forwarded.status, forwarded.headers["Location"]) == (302, "/dashboard")


def test_notes_and_a_failure_by_hand_pass(scene: Scene) -> None:
    own = {"Origin": scene.url, "Sec-Fetch-Site": "same-origin"}
    trial = scene.study.ask()
    for headers in (own, {}):
        version = 1 if headers else 2
        for place in ("", f"/{trial._trial_id}"):
            note = {"version": version, "body": f"# seen {version}\n" + "long " * 1000}
            assert ask(f"{scene.of_study}{place}/note", "PUT", note, headers).status == 204
    (shown,) = json.loads(ask(f"{scene.url}/api/studies").body)["study_summaries"]
    assert shown["study_name"] == "mars"
    assert "seen 2" in json.loads(ask(scene.of_study).body)["note"]["body"]
    assert (
        ask(f"{scene.url}/api/trials/{trial._trial_id}/tell", "POST", {"state": "Fail"}, own).status
        == 204
    )
    assert scene.storage.get_trial(trial._trial_id).state == TrialState.FAIL


def test_raw_requests_that_try_to_be_two_or_another(scene: Scene) -> None:
    before = scene.content()
    study = scene.study._study_id
    delete = (
        f"DELETE /api/studies/{study} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    ).encode()
    chunked = b"Transfer-Encoding: chunked\r\n"
    note = f"PUT /api/studies/{study}/note HTTP/1.1\r\nContent-Type: application/json\r\n".encode()
    for words, status in (
        (
            f"DELETE http://evil.example/api/studies/{study} HTTP/1.1\r\nHost: "
            f"localhost\r\n\r\n".encode(),
            400,
        ),
        (
            f"DELETE http://localhost/api/studies/{study} HTTP/1.1\r\nHost: "
            f"localhost\r\n\r\n".encode(),
            400,
        ),
        (note + b"Host: localhost\r\nHost: evil.example\r\nContent-Length: 0\r\n\r\n", 400),
        (note + b"Host: localhost\r\n" + chunked + b"\r\n5\r\nhello\r\n0\r\n\r\n", 400),
        (note + b"Host: localhost\r\nContent-Length: 3\r\n" + chunked + b"\r\n0\r\n\r\n", 400),
        (
            note
            + b"Host: localhost\r\n"
            + chunked
            + b"\r\n11000\r\n"
            + b"x" * 0x11000
            + b"\r\n0\r\n\r\n",
            413,
        ),
        (note + b"Content-Length: 0\r\n\r\n", 400),  # no Host
        (b"GET /api/studies HTTP/1.0\r\n\r\n", 400),
        (b"GET /api/studies%0d%0aSet-Cookie:x=y HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /dashboard%0d%0aX HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
        (
            b"OPTIONS /api/studies HTTP/1.1\r\nHost: localhost\r\nAccess-Control-Request-Method: PUT\r\n\r\n",
            405,
        ),
        (b"TRACE /api/studies HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n", 400),
    ):
        heard = send(scene.url, words + delete, wait_s=1.0)
        answers = [int(code) for code in re.findall(rb"HTTP/1\.[01] (\d+)", heard)]
        assert answers[0] == status, (words, heard)
        assert all(400 <= each < 500 for each in answers), (words, heard)
        assert b"Set-Cookie" not in heard.partition(b"\r\n\r\n")[0]
        assert heard.count(b"X-Frame-Options: DENY") == len(answers)
    assert scene.content() == before


def test_a_wildcard_address_opens_no_name_but_those_given(
    database: str, tmp_path: Path, search: Command
) -> None:
    place = (f"--storage={database}", f"--artifacts={tmp_path}", "--host=0.0.0.0", "--port=0")
    process = search.start(
        "dashboard", *place, SEARCH_ALLOWED_HOSTS="Dash.Example, other.example b.example"
    )  # type: ignore[attr-defined]
    try:
        url = url_of(process)
        for host, status in {
            "127.0.0.1:9090": 200,
            "localhost:1234": 200,
            "dash.example:8080": 200,
            "other.example": 200,
            "b.example": 200,
            "0.0.0.0:8080": 403,
            "10.0.0.7:8080": 403,
            "dashboard:8080": 403,
        }.items():
            answer = ask(f"{url}/api/studies", headers={"Host": host})
            assert answer.status == status, host
            assert status == 200 or f"--allowed-host {host.partition(':')[0]}" in answer.reason
            assert ask(f"{url}/health", headers={"Host": host}).status == 200
        end(process)
    finally:
        process.kill()
        process.communicate()


def test_a_host_that_is_no_name_is_refused_before_anything_else(search: Command) -> None:
    done = search(
        "dashboard",
        "--allowed-host",
        "http://dash.example",
        "--storage",
        "postgresql://nobody@127.0.0.1:9/none",
    )
    assert done.returncode == 2
    assert done.stderr.endswith(
        "--allowed-host must be a name or an address, without scheme and port, got "
        "'http://dash.example'\n"
    )


def test_ipv6_and_its_own_name(make_database: Callable[[], str], tmp_path: Path) -> None:
    with dashboard(make_database(), tmp_path, host="::1") as process:
        url = url_of(process, "[::1]")
        assert ask(f"{url}/api/studies").status == 200
        assert ask(f"{url}/api/studies", headers={"Host": "evil.example"}).status == 403
        end(process)
