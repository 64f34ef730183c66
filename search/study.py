"""A study: its specification, written once by ``search init``, and its connection to the database."""

import hashlib
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.pruners import SuccessiveHalvingPruner
from optuna.samplers import TPESampler
from optuna.storages import RDBStorage
from optuna.trial import Trial
from pydantic import Field
from sqlalchemy import Engine, insert, select

from objectives.config import Frozen
from objectives.data.dataset import DataOptions, Dataset
from objectives.data.spec import FrameSpec
from objectives.errors import UserError
from objectives.version import OBJECTIVE_VERSION
from search.storage import SETUP_LOCK, Fence, create_tables, locked, open_engine, open_optuna, reachable, redact
from search.tables import STUDY
from spaces import Space

CONTROL = 0  # the trial number of the default config, which is never pruned

optuna.logging.set_verbosity(optuna.logging.ERROR)
warnings.filterwarnings("ignore", category=ExperimentalWarning)  # TPE's multivariate and group, which are what we want


class StudySpec(Frozen):
    """Everything that decides what a study's trials are; equal specs are the same study."""

    name: str = Field(min_length=1, max_length=200)
    source: str  # where the data lies: a file, a folder, or ``synthetic``
    size: tuple[int, int] | None  # (H, W) that frames are resized to; None keeps theirs
    min_identical: int
    scored: tuple[int, ...]  # labels, as asked; empty: all but the ignored one
    score: str  # what a score is, in words: see score_definition
    data_fingerprint: str
    space: dict[str, Any]
    space_fingerprint: str
    trials: int = Field(ge=1)
    until_s: float = Field(ge=0.0)  # seconds from the first claim; 0: no deadline
    seed: int
    objective_version: str = OBJECTIVE_VERSION

    @property
    def data_options(self) -> DataOptions:
        """How the data is read and split."""
        return DataOptions(size=self.size, min_identical=self.min_identical, seed=self.seed, scored=self.scored)


@dataclass(frozen=True)
class Study:
    """An open study. Only the worker that holds a lease writes through ``optuna``, under ``fence``."""

    id: int
    spec: StudySpec
    space: Space
    engine: Engine
    storage: RDBStorage
    optuna: optuna.Study
    fence: Fence

    def trial_seed(self, number: int) -> int:
        """The seed of one trial's initialisation, data order and augmentation."""
        return stable_seed(self.spec.seed, "trial", number)

    def trial(self, trial_id: int) -> Trial:
        """A running trial, attached to again under its own number, with that number's sampler."""
        self.optuna.sampler = build_sampler(self.spec, self.storage.get_trial(trial_id).number)
        return Trial(self.optuna, trial_id)

    def close(self) -> None:
        """Close every connection."""
        self.storage.engine.dispose()
        self.engine.dispose()


def stable_seed(*parts: object) -> int:
    """A 31-bit seed that depends on its parts alone."""
    return int.from_bytes(hashlib.blake2b(repr(parts).encode(), digest_size=4).digest(), "big") >> 1


def create_study(url: str, spec: StudySpec) -> bool:
    """Write a study with its control trial; False when the very same study is there already.

    Raises: UserError when another study has this name, naming what differs.
    """
    engine = open_engine(url)
    with reachable(url):
        create_tables(engine, url)
        with locked(engine, SETUP_LOCK) as connection:
            storage = open_optuna(url, Fence())
            study = optuna.create_study(storage=storage, study_name=spec.name, direction="maximize", load_if_exists=True)
            row = connection.execute(select(STUDY.c.spec).where(STUDY.c.study_id == study._study_id)).first()
            if row is not None:
                _refuse_other(StudySpec.model_validate(row.spec), spec)
                return False
            trials = study.get_trials(deepcopy=False)
            if any(trial.state.name != "WAITING" for trial in trials):
                raise UserError(
                    f"the name {spec.name!r} belongs to a study that this program did not make: choose another name"
                )
            if not trials:
                study.enqueue_trial(dict(Space.from_dict(spec.space).control), user_attrs={"recipe": "control"})
            # last: a study counts from here on, and what a crash left before this line is taken up again
            connection.execute(insert(STUDY).values(study_id=study._study_id, spec=spec.model_dump(), trials=spec.trials))
            storage.engine.dispose()
    engine.dispose()
    return True


def open_study(url: str, name: str) -> Study:
    """A study that ``create_study`` wrote.

    Raises: UserError when there is none of this name, or when this program cannot run it; WorldError without a database.
    """
    engine = open_engine(url)
    with reachable(url):
        with engine.connect() as connection:
            known = {row.spec["name"]: row for row in connection.execute(select(STUDY.c.study_id, STUDY.c.spec))}
        if name not in known:
            names = ", ".join(sorted(known)) or "none yet"
            raise UserError(f"no study {name!r} in {redact(url)} (there: {names}): run `search init --study {name}` first")
        spec = StudySpec.model_validate(known[name].spec)
        fence = Fence()
        storage = open_optuna(url, fence)
        try:
            study = optuna.load_study(study_name=name, storage=storage, pruner=build_pruner(spec))
        except KeyError as error:
            raise UserError(f"study {name!r} was deleted in the dashboard: choose another --study name") from error
    return Study(known[name].study_id, spec, Space.from_dict(spec.space), engine, storage, study, fence)


def check_worker(study: Study, data: Dataset) -> None:
    """Refuse to join a study with another space, data, score or objective than its own.

    Raises: UserError naming what differs, with both values.
    """
    spec = study.spec
    pairs = {
        "objective version": (spec.objective_version, OBJECTIVE_VERSION),
        "space": (spec.space_fingerprint, study.space.fingerprint),
        "data": (spec.data_fingerprint, data.fingerprint),
        "score": (spec.score, score_definition(data.spec)),
    }
    for what, (theirs, ours) in pairs.items():
        if theirs != ours:
            raise UserError(
                f"this worker's {what} differs from that of study {spec.name!r}: {_short(ours)} here, {_short(theirs)} there; "
                "use the same program version and the same data, or start another study"
            )


def score_definition(spec: FrameSpec) -> str:
    """What a score is: which classes it averages over, and which pixels it leaves out."""
    scored = ", ".join(spec.class_names[label] for label in spec.scored)
    ignored = "" if spec.ignore_label is None else f", pixels of {spec.class_names[spec.ignore_label]} left out"
    return f"mean IoU of {scored}{ignored}"


def build_sampler(spec: StudySpec, number: int) -> TPESampler:
    """The sampler of one trial, seeded by its number, so that a draw depends on the study's history alone."""
    startup = min(10, max(4, spec.trials // 4))
    seed = stable_seed(spec.seed, "sampler", number)
    return TPESampler(n_startup_trials=startup, multivariate=True, group=True, constant_liar=True, seed=seed)


def build_pruner(spec: StudySpec) -> SuccessiveHalvingPruner:
    """One bracket of successive halving with a warm-up; its first rung is the warm-up's last epoch."""
    return SuccessiveHalvingPruner(min_resource=rungs(study_epochs(spec))[0], reduction_factor=3, bootstrap_count=0)


def rungs(epochs: int) -> tuple[int, ...]:
    """The epochs after which a trial may be pruned."""
    first = max(2, epochs // 9)
    return tuple(first * 3**i for i in range(20) if first * 3**i < epochs) or (first,)


def study_epochs(spec: StudySpec) -> int:
    """Epochs of every trial of the study."""
    return Space.from_dict(spec.space).default().train.epochs


def _refuse_other(there: StudySpec, wanted: StudySpec) -> None:
    same = {"source"}  # the same data may lie elsewhere: its fingerprint decides
    differences = [
        f"{field} is {_short(getattr(there, field))} there, {_short(getattr(wanted, field))} wanted"
        for field in StudySpec.model_fields
        if field not in same | {"space"} and getattr(there, field) != getattr(wanted, field)
    ]
    if differences:
        listed = "; ".join(differences)
        raise UserError(f"study {wanted.name!r} exists with other settings: {listed}; choose another --study name")


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 64 and " " in text else text[:12]


def data_path(source: str) -> str:
    """A data source as the study stores it: an absolute path, or the generator's word."""
    return source if source.startswith("synthetic") else str(Path(source).resolve())
