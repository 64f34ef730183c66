"""Weights of encoders that their own library fetches from a hub, once, as a file that needs none."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import Request, urlopen

from objectives.config import HUB
from objectives.errors import UserError, WorldError, first_line
from objectives.networks.pretrained import TIMM
from objectives.networks.weights_file import WeightsFile, as_safetensors

ANSWERS_S = 10.0


def hub_weights(encoder: str) -> bytes:
    """Return the weights that smp's or timm's own code loads for an encoder, as safetensors whose
    header says from where.

    Raises:
        WorldError: The hub does not answer.
        UserError: The library knows no such weights.
    """
    from huggingface_hub import constants

    _check_answers(constants.ENDPOINT)
    try:
        with _quietly():
            loaded, header = (_of_timm if encoder.startswith(TIMM) else _of_smp)(encoder)
    except OSError as error:
        raise WorldError(
            f"--weights {HUB}: {encoder} cannot be fetched ({first_line(error)})"
        ) from error
    return as_safetensors(WeightsFile(loaded.state_dict(), {"encoder": encoder, **header}))


def _of_timm(encoder: str) -> tuple[Any, dict[str, str]]:
    import timm
    from segmentation_models_pytorch.encoders import get_encoder

    name = encoder.removeprefix(TIMM)
    told = timm.get_pretrained_cfg(name)
    if told is None or not told.has_weights:
        raise _unknown(encoder)
    header = {
        "source": str(told.hf_hub_id or told.url or f"timm {name}"),
        "license": told.license or "",
        "mean": _listed(told.mean),
        "std": _listed(told.std),
    }
    return get_encoder(encoder, weights=True), header


def _of_smp(encoder: str) -> tuple[Any, dict[str, str]]:
    from segmentation_models_pytorch.encoders import encoders, get_encoder, get_preprocessing_params

    settings = encoders.get(encoder, {}).get("pretrained_settings", {})
    if HUB not in settings:
        raise _unknown(encoder)
    told = get_preprocessing_params(encoder, HUB)
    header = {
        "source": settings[HUB]["repo_id"],
        "mean": _listed(told["mean"]),
        "std": _listed(told["std"]),
    }
    return get_encoder(encoder, weights=HUB), header


def _listed(values: Any) -> str:
    return ",".join(map(str, values))


def _unknown(encoder: str) -> UserError:
    return UserError(
        f"--weights {HUB}: the library of {encoder} has no such weights; give a file of your own"
    )


def _check_answers(endpoint: str) -> None:
    try:
        urlopen(Request(endpoint, method="HEAD"), timeout=ANSWERS_S).close()
    except HTTPError:  # it answers
        return
    except (URLError, OSError) as error:
        raise WorldError(
            f"--weights {HUB}: {endpoint} cannot be reached from here ({first_line(error)}); give a "
            f"file instead, fetched where it can"
        ) from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep what the libraries say of each try out of a terminal."""
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)
