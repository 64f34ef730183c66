"""One pass over all labelled frames: what each one holds, every broken rule, what is dropped, and
the parts.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from objectives.config.measures import measure_problems
from objectives.data.options import PARTS, DataOptions
from objectives.data.preparing.classes_held import (
    class_option_problems,
    pixel_counts,
    scored_labels,
    settle_classes,
)
from objectives.data.preparing.cut import Cut
from objectives.data.preparing.duplicates import (
    alike_clusters,
    in_order_of_appearance,
    spoilt_frames,
)
from objectives.data.preparing.facts import Facts, Look
from objectives.data.preparing.leave_out import REASON, named_frames
from objectives.data.preparing.marks import (
    examples,
    gathered,
    mark_problems,
    mark_warnings,
)
from objectives.data.preparing.outliers import unfit_frames
from objectives.data.preparing.parting import cut_parts, part_problems, part_warnings
from objectives.data.preparing.window import size_warnings, window_for
from objectives.data.ragged import Size
from objectives.data.reading.classes import Classes, numbered_classes
from objectives.data.reading.frames import FrameSource
from objectives.errors import Problem


@dataclass(frozen=True)
class Dropped:
    """A frame that is left out, and why; ``frame`` is its name, or its number where frames have
    only numbers.
    """

    frame: str | int
    reason: str


@dataclass(frozen=True)
class Survey:
    """The judgement over a source; usable for building only when ``problems`` is empty."""

    frames: int
    problems: tuple[Problem, ...]
    warnings: tuple[str, ...] = ()
    dropped: tuple[Dropped, ...] = ()
    classes: Classes = field(default_factory=lambda: numbered_classes(2))
    scored: tuple[int, ...] = ()
    kept: tuple[int, ...] = ()
    channels: int = 0
    sizes: tuple[Size, ...] = ()  # H, W of each kept frame, as prepared
    window: Size = (1, 1)  # H, W of what a network sees at once
    tiled: bool = False  # whether a frame is seen in several windows
    dtype: str = "uint8"
    groups: tuple[int, ...] = ()  # one per kept frame
    # (kept, K)
    pixel_counts: np.ndarray = field(default_factory=lambda: np.zeros((0, 2), np.int64))
    hashes: tuple[str, ...] = ()  # of the kept frames
    left_out: tuple[str, ...] = ()  # hashes of the frames that were left out by name
    means: tuple[float, ...] = ()  # mean pixel values of the kept frames, 0..1
    dropped_means: tuple[float, ...] = ()  # the same of those that were dropped
    parts: tuple[np.ndarray, ...] = ()  # indices into the kept frames, in the order of PARTS
    remedy: str = ""  # a classes.yaml that would accept the values that none has, if there are any
    given: tuple[str, ...] = ()  # parts that the data's owner has decided


def survey(
    source: FrameSource, options: DataOptions, looks: Callable[[], Iterable[Look]]
) -> Survey:
    """Judge the whole by one look at every frame, which ``looks`` gives in order; bad data becomes problems,
    never an exception.
    """
    asked = [*options.problems(), *measure_problems(options.measure)]
    problems = [*asked, *source.problems, *part_problems(options, source.parts)]
    if asked:
        return Survey(len(source.names), tuple(problems))
    named, unknown = named_frames(source, options.leave_out)
    problems += unknown
    looked = list(looks())
    readable = {index: frame for index, frame in enumerate(looked) if isinstance(frame, Facts)}
    facts = {index: frame for index, frame in readable.items() if index not in named}
    broken = [
        each
        for index, each in enumerate(looked)
        if not isinstance(each, Facts) and index not in named
    ]
    problems += gathered([problem for each in broken for problem in each])
    classes, more, warnings, remedy = _judged(source, facts, options)
    problems += more
    reasons = dict(
        sorted((_reasons_to_drop(facts, classes, options) | dict.fromkeys(named, REASON)).items())
    )
    dropped = tuple(
        Dropped(index if source.numbered else source.names[index], reason)
        for index, reason in reasons.items()
    )
    kept = [index for index in facts if index not in reasons]
    counts_NK = pixel_counts([facts[index] for index in kept], classes)
    if (facts or named) and not kept:
        problems.append(
            Problem("frames", "cleaning must leave some frames", f"none: {cleaning(dropped)}")
        )
    surveyed = Survey(
        len(looked),
        tuple(problems),
        warnings,
        dropped,
        classes,
        kept=tuple(kept),
        pixel_counts=counts_NK,
        remedy=remedy,
    )
    if problems:
        return surveyed
    gone = [readable[index] for index in reasons if index in readable]
    surveyed = replace(
        surveyed,
        left_out=tuple(readable[index].hash for index in sorted(named & readable.keys())),
        means=tuple(facts[index].mean for index in kept),
        dropped_means=tuple(fact.mean for fact in gone),
    )
    dropped_counts_K = pixel_counts(gone, classes).sum(axis=0)
    return _with_parts(
        surveyed, source, [facts[index] for index in kept], options, dropped_counts_K
    )


def _judged(
    source: FrameSource, facts: Mapping[int, Facts], options: DataOptions
) -> tuple[Classes, list[Problem], tuple[str, ...], str]:
    """Return the classes of all frames, the problems and warnings that they have together, and the
    classes.yaml that would mend those of values.
    """
    classes, problems, remedy = settle_classes(source, facts, options.ignore)
    marks = {source.place(index): frame.marks for index, frame in facts.items()}
    problems = [
        *problems,
        *_uniform_problems(source, facts, options),
        *class_option_problems(options, classes),
        *mark_problems(marks, classes, options.ignore),
    ]
    warnings = [*source.warnings, *mark_warnings(marks, classes)]
    held = {label for frame in facts.values() for label in frame.labels}
    if options.ignore and classes.raw_ignore is not None and classes.raw_ignore not in held:
        warnings.append(f"no mask has the label {classes.raw_ignore} that --ignore names")
    return classes, problems, tuple(warnings), remedy


def _reasons_to_drop(
    facts: Mapping[int, Facts], classes: Classes, options: DataOptions
) -> dict[int, str]:
    """Return why frames are left out, by their index, ascending. Spoilt ones first: their masks and
    looks say nothing of the rest.
    """
    keys = [frame.mask_key for frame in facts.values()]
    labels = [len(frame.labels) for frame in facts.values()]
    readable = list(facts)
    reasons = {
        readable[position]: reason
        for position, reason in spoilt_frames(keys, labels, options.min_identical).items()
    }
    rest = [index for index in readable if index not in reasons]
    unfit = unfit_frames(
        np.array([_labelled_share(facts[index], classes) for index in rest]),
        np.array([facts[index].mean for index in rest]),
        min_labelled=options.min_labelled,
        max_deviation=options.max_deviation,
    )
    return dict(
        sorted((reasons | {rest[position]: reason for position, reason in unfit.items()}).items())
    )


def _labelled_share(frame: Facts, classes: Classes) -> float:
    labelled = sum(
        pixels
        for label, pixels in zip(frame.labels, frame.pixels, strict=True)
        if label != classes.raw_ignore
    )
    return labelled / sum(frame.pixels)


def _uniform_problems(
    source: FrameSource, facts: Mapping[int, Facts], options: DataOptions
) -> Iterator[Problem]:
    kinds = defaultdict(list)
    for index, frame in facts.items():
        kinds[f"{frame.shape[2]} channels of {frame.dtype}"].append(source.place(index))
    if facts and options.window:
        largest = [max(frame.size[axis] for frame in facts.values()) for axis in (0, 1)]
        if any(side > most for side, most in zip(options.window, largest, strict=True)):
            rule = f"must not be larger than every frame: at most {largest[0]}x{largest[1]}"
            yield Problem("window", rule, f"{options.window[0]}x{options.window[1]}")
    if len(kinds) > 1:
        yield Problem(
            "images", "all frames must have the same channels and bit depth", _examples(kinds)
        )


def _with_parts(
    surveyed: Survey,
    source: FrameSource,
    facts: Sequence[Facts],
    options: DataOptions,
    dropped_counts_K: np.ndarray,
) -> Survey:
    classes = surveyed.classes
    scored = scored_labels(options, classes)
    groups = _settle_groups(surveyed, source, facts)
    given = [source.parts[index] for index in surveyed.kept] if source.parts else []
    parts = cut_parts(groups, surveyed.pixel_counts[:, scored], options, given)
    hashes = tuple(fact.hash for fact in facts)
    sizes = tuple(fact.size for fact in facts)
    window = options.window or window_for(sizes)
    cut = Cut(
        parts,
        groups,
        bool(source.groups),
        hashes,
        surveyed.pixel_counts,
        scored,
        classes.names,
        without_test=not options.shares[2],
        cleaning=cleaning(surveyed.dropped),
        dropped_counts_K=dropped_counts_K,
    )
    problems = tuple(cut.problems())
    warnings = (
        (*cut.warnings(), *part_warnings(options, given, groups, parts)) if not problems else ()
    )
    return replace(
        surveyed,
        problems=problems,
        warnings=(
            *surveyed.warnings,
            *size_warnings(
                options, sizes, window, [source.place(index) for index in surveyed.kept]
            ),
            *warnings,
        ),
        scored=scored,
        channels=facts[0].shape[2] if facts else 0,
        sizes=sizes,
        window=window,
        tiled=any(size != window for size in sizes),
        dtype=facts[0].dtype if facts else "uint8",
        groups=tuple(groups.tolist()),
        hashes=hashes,
        parts=tuple(parts[name] for name in PARTS),
        given=tuple(name for name in PARTS if name in given),
    )


def cleaning(dropped: Sequence[Dropped]) -> str:
    """Return what was left out by how many frames and reason, each with the switch that changes it;
    empty when nothing was.
    """
    return "; ".join(f"dropped: {line}" for line in drop_reasons(dropped))


def drop_reasons(dropped: Sequence[Dropped]) -> list[str]:
    """Return each reason with the number of frames that were dropped for it, one line each."""
    counts = Counter(frame.reason for frame in dropped)
    return [f"{count} frame{'s' * (count > 1)}, {reason}" for reason, count in counts.items()]


def _settle_groups(surveyed: Survey, source: FrameSource, facts: Sequence[Facts]) -> np.ndarray:
    """Return the group of each kept frame: its known place, else the cluster of frames that look
    alike; names drop out.
    """
    if source.groups:
        return in_order_of_appearance([source.groups[index] for index in surveyed.kept])
    if not facts:
        return np.zeros(0, np.int64)
    return alike_clusters(
        np.stack([fact.thumbnail for fact in facts]), [fact.hash for fact in facts]
    )


def _examples(places: dict[str, list[str]]) -> str:
    shown = []
    for value, named in sorted(places.items(), key=lambda item: -len(item[1])):
        shown.append(f"{value} ({examples(named)})")
    return "; ".join(shown)
