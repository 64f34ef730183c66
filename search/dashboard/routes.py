"""What may be asked of optuna-dashboard: each of its routes is read, written or refused, and one
without a list is refused.

It has no login and no read-only switch of its own, and some of its buttons destroy: a renamed study
is a copy under new ids, whose weights ``search gc`` then takes for garbage. So the writes are notes
and the failing of a trial. The lists are by method and rule as the app itself has them, and the
check is put into the app's own routes: it cannot take a path for another one.

Whoever may look may use ``READS``, whoever may change something ``WRITES`` too, nobody ``REFUSED``.
"""

import functools
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, NoReturn

from bottle import Bottle, HTTPError, HTTPResponse, request, response

Door = tuple[str, str]  # method, rule
Check = Callable[[Mapping[str, Any]], str]  # what is wrong with a body; empty for a good one

MOST_BYTES = 64 * 1024  # of what is written at once: a note is a page of text


def _check_note(body: Mapping[str, Any]) -> str:
    good = type(body.get("version")) is int and isinstance(body.get("body"), str)
    return "" if good else "a note must have a version, a whole number, and a body, a text"


def _check_failed(body: Mapping[str, Any]) -> str:
    state = body.get("state")
    good = isinstance(state, str) and state.upper() == "FAIL"  # the app takes any spelling
    return "" if good else "a trial can only be ended as Fail here: its score comes from its worker"


READS: frozenset[Door] = frozenset(
    ("GET", rule)
    for rule in (
        "/",
        "/dashboard<:re:(/.*)?>",
        "/api/meta",
        "/api/studies",
        "/api/studies/<study_id:int>",
        "/api/studies/<study_id:int>/param_importances",
        "/api/studies/<study_id:int>/plot/<plot_type>",
        "/csv/<study_id:int>",
        "/favicon.ico",
        "/static/<filename:path>",
        "/incompatible-rdb-schema",
        "/artifacts/<study_id:int>/<artifact_id:re:[0-9a-fA-F-]+>",
        "/artifacts/<study_id:int>/<trial_id:int>/<artifact_id:re:[0-9a-fA-F-]+>",
    )
)

WRITES: Mapping[Door, Check] = {
    ("PUT", "/api/studies/<study_id:int>/note"): _check_note,
    ("PUT", "/api/studies/<study_id:int>/<trial_id:int>/note"): _check_note,
    ("POST", "/api/trials/<trial_id:int>/tell"): _check_failed,
}

_NOT_HERE = (
    "the dashboard only shows studies; all that can be written here are notes, and that a "
    "trial has failed"
)
_PICTURES = "the pictures of a study come from its workers; none is added or removed here"
_NO_MODEL = "no language model is asked here"

REFUSED: Mapping[Door, str] = {
    ("POST", "/api/studies"): "a study is started by `search init`, not here",
    ("POST", "/api/studies/<study_id:int>/rename"): (
        "a study cannot be renamed: it would be copied under new ids, and lose its weights; "
        "`search migrate` starts one under another name with the old trials"
    ),
    ("DELETE", "/api/studies/<study_id:int>"): (
        "a study is not deleted here, where its pictures would go before its rows; `optuna "
        "delete-study`, then `search gc`"
    ),
    ("POST", "/incompatible-rdb-schema"): (
        "the database is not changed here: stop all workers, then `search upgrade`"
    ),
    ("POST", "/api/trials/<trial_id:int>/user-attrs"): _NOT_HERE,
    ("POST", "/api/studies/<study_id:int>/<trial_id:int>/skip"): _NOT_HERE,
    ("POST", "/api/studies/<study_id:int>/preference"): _NOT_HERE,
    ("PUT", "/api/studies/<study_id:int>/preference_feedback_component"): _NOT_HERE,
    ("DELETE", "/api/studies/<study_id:int>/preference/<history_id>"): _NOT_HERE,
    ("POST", "/api/studies/<study_id:int>/preference/<history_id>"): _NOT_HERE,
    ("POST", "/api/artifacts/<study_id:int>"): _PICTURES,
    ("POST", "/api/artifacts/<study_id:int>/<trial_id:int>"): _PICTURES,
    ("DELETE", "/api/artifacts/<study_id:int>/<artifact_id:re:[0-9a-fA-F-]+>"): _PICTURES,
    (
        "DELETE",
        "/api/artifacts/<study_id:int>/<trial_id:int>/<artifact_id:re:[0-9a-fA-F-]+>",
    ): _PICTURES,
    ("POST", "/api/llm/trial_filter_query"): _NO_MODEL,
    ("POST", "/api/llm/generate_plotly_graph_query"): _NO_MODEL,
    ("POST", "/api/llm/re_generate_plotly_graph_query"): _NO_MODEL,
}


def guard(app: Bottle) -> None:
    """Close every route of the app that no list opens, and let its refusals be one line each."""
    for route in app.routes:
        door = (route.method, route.rule)
        if door in WRITES:
            route.callback = _checked(route.callback, WRITES[door])
        elif door in READS and route.rule.startswith("/artifacts/"):
            route.callback = _found(route.callback)
        elif door not in READS:
            route.callback = functools.partial(
                _refuse, HTTPStatus.FORBIDDEN, REFUSED.get(door, _NOT_HERE)
            )
        route.reset()
    app.default_error_handler = _in_one_line


def _checked(write: Callable[..., Any], check: Check) -> Callable[..., Any]:
    """Return a write that is asked only with a good body."""

    @functools.wraps(write)
    def checked(**place: int) -> Any:
        if wrong := check(_body()):
            _refuse(HTTPStatus.BAD_REQUEST, wrong)
        return write(**place)

    return checked


def _found(read: Callable[..., Any]) -> Callable[..., Any]:
    """Return a read that says where there is no such study or trial; the app's other routes do so
    themselves.
    """

    @functools.wraps(read)
    def found(**place: int | str) -> Any:
        try:
            return read(**place)
        except KeyError:
            _refuse(HTTPStatus.NOT_FOUND, "there is no such study or trial")

    return found


def _body() -> Mapping[str, Any]:
    """Return the request's body, which is the very object that the app reads afterwards."""
    if request.content_length > MOST_BYTES:
        _refuse(
            HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
            f"at most {MOST_BYTES // 1024} KiB can be written at once",
        )
    # what no form of another site can send
    if request.content_type.lower().partition(";")[0] != "application/json":
        _refuse(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "what is written must be application/json")
    try:
        body: object = request.json
    except RecursionError:
        body = None
    if not isinstance(body, dict):
        _refuse(HTTPStatus.BAD_REQUEST, "what is written must be a JSON object")
    return body


def _refuse(status: HTTPStatus, reason: str, **_: Any) -> NoReturn:
    headers = {"Content-Type": "application/json"}
    raise HTTPResponse(f"{json.dumps({'reason': reason})}\n", status.value, headers)


def _in_one_line(error: HTTPError) -> str:
    """Say why in place of Bottle's page: the form in which the dashboard's own page reads it."""
    response.content_type = "application/json"
    return f"{json.dumps({'reason': str(error.body)})}\n"
