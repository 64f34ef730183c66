"""A run's network with its trained weights, out of the study that holds the run."""

from dataclasses import dataclass

import torch
from safetensors.torch import load

from objectives.bundle.provenance import Origin
from objectives.config import Config
from objectives.data.dataset import Dataset, open_dataset
from objectives.device.processor import Processor
from objectives.errors import WorldError
from objectives.program.segmenter import Segmenter, build_segmenter, placed
from search.artifacts import open_blobs
from search.place import Place
from search.study.data_path import here
from search.study.joining import check_program, check_worker
from search.study.record import Notes
from search.study.stored import Study
from search.trials import checkpoints
from spaces import FromParams

KEPT = "a study keeps those of its best trials, its recipes and its control"


@dataclass(frozen=True)
class Restored:
    """A trained network, in evaluation mode on ``device``."""

    segmenter: Segmenter
    config: Config
    origin: Origin
    score: float  # that was measured of these very weights
    device: torch.device  # of the type on which the run was scored, where this host has it
    scored_on: Processor
    multiply_adds: int  # of one frame, forward; 0: not known


def open_data(study: Study, place: Place, source: str) -> Dataset:
    """Return the study's prepared data, from ``source`` where that is given.

    Raises:
        UserError: With other data than the study's.
    """
    check_program(study.spec)
    where = here(source or study.spec.source, place.cache)
    data = open_dataset(where, study.spec.frames, place.cache)
    check_worker(study, data)
    return data


def scoring_device() -> torch.device:
    """Return a GPU of this host, else the CPU: where runs that were scored on a GPU are scored
    again.
    """
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def restore_run(
    holder: Study, trial_id: int, data: Dataset, artifacts: str, *, gpu: bool = True
) -> Restored:
    """Return a finished run of the study ``holder``, with the weights by which it was scored;
    without ``gpu`` on the CPU.

    Raises:
        WorldError: Without its weights.
    """
    frozen = holder.storage.get_trial(trial_id)
    config = holder.space.draw(FromParams(frozen.params))
    pointer = checkpoints.pointers_of(holder.engine, trial_id).get("best")
    if pointer is None:
        raise WorldError(
            f"the weights of trial {frozen.number} of study {holder.spec.name!r} are gone: {KEPT}"
        )
    segmenter = build_segmenter(config, data.spec)
    segmenter.load_state_dict(load(open_blobs(artifacts).read(pointer.blob)))
    notes = Notes.of(frozen)
    scored_on = notes.scored_on
    assert scored_on, frozen.number  # it is stored before a pointer to weights counts
    device = scoring_device() if gpu and scored_on.type == "cuda" else torch.device("cpu")
    segmenter = placed(segmenter, device).eval()
    origin = Origin(
        study=holder.spec.name,
        trial=frozen.number,
        seed=holder.seed_of(frozen),
        epoch=pointer.epoch,
    )
    return Restored(
        segmenter, config, origin, pointer.score, device, scored_on, notes.multiply_adds
    )
