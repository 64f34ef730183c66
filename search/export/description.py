"""What a bundle says of where its model comes from, and of its scores."""

import shlex
import sys

from objectives.bundle.provenance import PartScore, Provenance, current_versions
from objectives.data.spec import FrameSpec
from objectives.scoring.inspection import Inspection
from objectives.statistics.interval import Interval
from objectives.statistics.resampling import score_interval
from search.database.passwords import redacted
from search.export.exported_program import ExportedProgram
from search.export.given_weights import weights_of
from search.export.reproduction import reproduction
from search.export.revision import program_revision
from search.study.looks import test_looks
from search.study.status import read_status
from search.study.stored import Study


def describe(study: Study, candidate: ExportedProgram, *, test: bool) -> Provenance:
    """Return where the model comes from, with its scores; who opens the sealed test part has
    counted the look.
    """
    status = read_status(study)
    winner = candidate.winner
    frames = study.spec.frames
    # the score as it was reported: the bundle's check measures it again
    validation = part_score(
        candidate, "validation", candidate.inspect("validation"), score=candidate.score
    )
    sealed = candidate.inspect("test") if test else None
    command = shlex.join(["search", *(redacted(word) for word in sys.argv[1:])])
    program = program_revision()
    return Provenance(
        study=study.spec.name,
        trial=winner.number,
        trials=sum(status.trials[state] for state in ("complete", "pruned", "failed"))
        + status.budget.unfinished,
        seed=candidate.origins[0].seed,
        epoch=candidate.origins[0].epoch,
        data=study.spec.data_fingerprint,
        device=candidate.scored_on.type,
        processor=candidate.scored_on.name,
        threads=candidate.scored_on.threads,
        command=command,
        versions=current_versions() | _score_package(candidate.data.spec),
        validation=validation,
        belief=winner.belief,
        confirmation=winner.remarks,
        test=part_score(candidate, "test", sealed, score=sealed.evaluation.score)
        if sealed
        else None,
        test_looks=test_looks(study),
        has_test=study.spec.has_test,
        foreign={
            name: package
            for member in candidate.settings.members
            for name, package in member.config.foreign.items()
        },
        weights=weights_of(study, candidate),
        min_identical=frames.min_identical,
        min_labelled=frames.min_labelled,
        max_deviation=frames.max_deviation,
        ignore=frames.ignore,
        program=program,
        space=study.spec.space_fingerprint,
        members=candidate.origins,
        flips=candidate.flips,
        reproduce=reproduction(study, winner, candidate.data.spec.num_classes, program, command),
    )


def _score_package(spec: FrameSpec) -> dict[str, str]:
    """Return the package that brings the score, with its version; nothing for a score of ours."""
    name, _, number = spec.measure_package.rpartition(" ")
    return {name: number} if name else {}


def part_score(
    candidate: ExportedProgram, part: str, inspection: Inspection, *, score: float
) -> PartScore:
    """Return a part's scores as the bundle stores them, with an interval over its places."""
    resampled = score_interval(inspection.evaluation.judged_GKK, inspection.scoring)
    measured = PartScore.measured(
        score,
        inspection.classes,
        inspection.calibration.error,
        len(candidate.data.parts[part]),
        left_out=candidate.data.left_out(part),
    )
    interval = resampled.mean.interval
    return measured.with_interval(
        (interval.low, interval.high) if isinstance(interval, Interval) else interval.reason,
        places=resampled.places,
    )
