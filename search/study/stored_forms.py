"""How earlier versions wrote a study's specification, made the present form."""

from dataclasses import fields
from typing import Any

from objectives.data.options import DataOptions


def in_present_form(stored: dict[str, Any]) -> dict[str, Any]:
    """Return a stored specification as this version writes it; one that it has written comes back
    as it is.

    Earlier versions spelled the options of its data one by one, and said what a study is for in one
    value for all three kinds: ``confirm``, with no seeds where the study searches, and
    ``everything`` where it retrains.
    """
    spec = dict(stored)
    if "frames" not in spec:
        spec["frames"] = {
            each.name: spec.pop(each.name) for each in fields(DataOptions) if each.name in spec
        }
    if "confirm" in spec:
        spec["purpose"] = _purpose(spec.pop("confirm"))
    return spec


def _purpose(confirm: dict[str, Any]) -> dict[str, Any]:
    if not confirm.get("seeds"):
        return {"kind": "search"}
    if not confirm.get("everything"):
        shared = ("study", "study_id", "top", "seeds", "resplit", "candidates")
        return {"kind": "confirm"} | {name: confirm[name] for name in shared if name in confirm}
    (candidate,) = confirm["candidates"]
    heard = confirm.get("heard", confirm.get("scores", ()))
    return {
        "kind": "retrain",
        "study": confirm["study"],
        "candidate": candidate,
        "seed": confirm["seed"],
        "heard": heard,
    }
