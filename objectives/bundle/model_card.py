"""The README.md of a bundle: what the model is, how good, how far to trust that, and how
to use it.
"""

from collections.abc import Mapping, Sequence

from objectives.bundle.belief import Named
from objectives.bundle.provenance import NO_TEST, PartScore, Provenance
from objectives.data.spec import FrameSpec
from objectives.program.settings import ProgramSettings


def model_card(
    settings: ProgramSettings, provenance: Provenance, frame_counts: Mapping[str, int]
) -> str:
    """Return the card as Markdown; ``frame_counts`` is the number of frames in each part of the
    study's data.
    """
    spec = settings.spec
    lines = [
        f"# Segmentation model of study {provenance.study}, {provenance.title}",
        "",
        f"{_networks(settings)} for frames of {_frames(spec)}, {spec.channels} channel(s), values "
        f"0..{spec.max_value}. It gives every pixel one of {len(spec.scored)} classes.",
        "",
        "## How good",
        "",
        *([str(provenance.retrained), ""] if provenance.retrained else []),
        *_scores(spec, provenance),
        "",
        *_caveats(spec.score_title, provenance),
        "",
        *_details(spec, provenance),
        *_data(spec, provenance.data, frame_counts),
        *_use(settings),
        "## Making",
        "",
        *_members(settings, provenance),
        *_starts(provenance),
        f"- Scored on {_processor(provenance)}. Command: `{provenance.command}`",
        *_origin(provenance),
        f"- Versions: "
        f"{', '.join(f'{name} {number}' for name, number in sorted(provenance.versions.items()))}",
        "- `config.json` holds the whole configuration, `metrics.json` these numbers, "
        "`frames.json` which frames were in which",
        "  part (as hashes), `SHA256SUMS` the checksums (`sha256sum -c SHA256SUMS`).",
        "",
    ]
    return "\n".join(lines)


def _data(spec: FrameSpec, fingerprint: str, frame_counts: Mapping[str, int]) -> list[str]:
    ignored = (
        "none"
        if spec.ignore_label is None
        else f"{spec.ignore_label} ({spec.class_names[spec.ignore_label]})"
    )
    counts = ", ".join(f"{count} {part}" for part, count in frame_counts.items())
    return [
        "## Data",
        "",
        f"- Frames: {counts}. Fingerprint `{fingerprint}`.",
        f"- Ignored label: {ignored}. Labels that are not scored are never predicted.",
        "- The split keeps frames of one place (or that look alike) in one part. Other places and "
        "cameras may score lower.",
        "",
    ]


def _use(settings: ProgramSettings) -> list[str]:
    return [
        "## Use",
        "",
        f"The ONNX program takes raw pixels; normalisation is inside. "
        f"{_sizes(settings)}{_as_they_lie(settings.spec)}",
        "",
        "```python",
        *_snippet(settings.spec),
        "```",
        "",
        "Or `search predict THIS_DIRECTORY INPUT --out masks.npz` and `search evaluate "
        "THIS_DIRECTORY DATA`. In torch without",
        "this program: `torch.export.load('model.pt2').module()(pixels)`. It unpickles: open only "
        "what you trust.",
        "",
    ]


def _processor(provenance: Provenance) -> str:
    threads = f", {provenance.threads} thread(s)" if provenance.threads else ""
    return (
        f"{provenance.device} ({provenance.processor}{threads})"
        if provenance.processor
        else provenance.device
    )


def _networks(settings: ProgramSettings) -> str:
    kinds = [member.config.model.kind for member in settings.members]
    if len(kinds) == 1:
        return f"A {kinds[0]}"
    what = (
        "A second model over the probabilities" if settings.combining == "stack" else "The average"
    )
    return f"{what} of {len(kinds)} networks ({', '.join(kinds)})"


def _as_they_lie(spec: FrameSpec) -> str:
    """Return what becomes of the pixels of files before they go into the program."""
    said = []
    if spec.exif == "keep":
        said.append(
            " Pixels are taken as they lie in a file: an orientation tag (EXIF, TIFF) turns no "
            "image."
        )
    if spec.pixel_range is not None:
        low, high = spec.pixel_range
        said.append(
            f" Before they go in, pixels of {low:g} to {high:g} become whole numbers 0 to 65535, "
            f"those beyond the ends."
        )
    match spec.convert:
        case "rgb":
            said.append(" A grey image goes in with its channel three times.")
        case "grey":
            said.append(" Colours go in as grey (ITU-R BT.601).")
    return "".join(said)


def _frames(spec: FrameSpec) -> str:
    """Return how large frames are."""
    size = f"{spec.height} x {spec.width} pixels"
    if spec.overlap is None:
        return size
    return f"any size, seen in windows of {size} that overlap by {spec.overlap:.0%}"


def _sizes(settings: ProgramSettings) -> str:
    if settings.spec.windows:
        return (
            "It sees one window at a time. Scores are of whole frames, whose pixels have the mean of the "
            "probabilities in the windows that show them, weighted by a Gaussian around their middles: "
            "`search predict`, `search evaluate` and these lines do that, by torch or by ONNX Runtime alone."
        )
    height = settings.axes.height
    width = settings.axes.width
    if (height, width) == ("any", "any"):
        return (
            f"Frames of any size may go in; it was trained on {settings.spec.height} x "
            f"{settings.spec.width}."
        )
    return f"Frames must be of {height} x {width} pixels."


def _members(settings: ProgramSettings, provenance: Provenance) -> list[str]:
    """Return a line for each network: where its weights come from."""
    if not provenance.members:
        return [
            f"- Seed {provenance.seed}; epoch {provenance.epoch} of "
            f"{settings.members[0].config.train.epochs}"
        ]
    total = sum(member.weight for member in settings.members)
    average = settings.combining == "average"
    shares = [
        f", weight {member.weight / total:.3g}" if average else "" for member in settings.members
    ]
    return [
        f"- {member.config.model.kind}{share}: trial {origin.trial} of study {origin.study}, "
        f"seed {origin.seed}, epoch {origin.epoch} of {member.config.train.epochs}"
        for member, share, origin in zip(settings.members, shares, provenance.members, strict=True)
    ]


def _starts(provenance: Provenance) -> list[str]:
    """Return a line for each file of weights that a network started from."""
    return [
        f"- Started from weights that were trained before: {_escaped(each.name)}, from "
        f"{_escaped(each.source)}; licence: {_escaped(each.licence) or 'not stated'}; SHA-256 "
        f"`{each.sha256}`"
        for each in provenance.weights
    ]


def _origin(provenance: Provenance) -> list[str]:
    """Return which program and space, and how to make all of it again; nothing of bundles that do
    not tell.
    """
    lines = [f"- Program: {provenance.program}"] if provenance.program else []
    lines += [f"- Space: fingerprint `{provenance.space}`"] if provenance.space else []
    if provenance.reproduce:
        lines += [
            "- To make it again:",
            "",
            *(f"      {command}" for command in provenance.reproduce),
            "",
        ]
    return lines


def _scores(spec: FrameSpec, provenance: Provenance) -> list[str]:
    """Return a table of the IoU per class, a column for each part that was scored."""
    parts = _opened_parts(provenance)
    titles = [f"{name} ({part.frames} frames)" for name, part in parts.items()]
    rows = [
        _row(
            f"{label} {_escaped(spec.class_names[label])}",
            [part.iou[label] for part in parts.values()],
        )
        for label in spec.scored
    ]
    package = f" ({spec.measure_package})" if spec.measure_package else ""
    words = _escaped(spec.score_words)
    score = _row(f"**{words}**{package}", [part.score for part in parts.values()])
    return [
        f"| class, IoU | {' | '.join(titles)} |",
        "|---|" + "---|" * len(parts),
        *rows,
        score,
        *_chosen_classes(spec),
        *_absent(spec, parts),
    ]


def _chosen_classes(spec: FrameSpec) -> list[str]:
    """Return what the score is where not all classes count alike."""
    if not spec.score.classes:
        return []
    definition = _escaped(spec.score.definition(spec.class_names, spec.counting))
    return ["", f"The score is the {definition}; all classes of this table are predicted."]


def _absent(spec: FrameSpec, parts: Mapping[str, PartScore]) -> list[str]:
    """Return a sentence for each part in which scored classes have no pixel; none where pixels were
    not counted.
    """
    lines: list[str] = []
    for name, part in parts.items():
        if labels := [label for label in spec.scored if part.support and not part.support[label]]:
            absent = ", ".join(f"{label} {spec.class_names[label]}" for label in labels)
            over = f" (The {name} score is a {part.left_out}.)" if part.left_out else ""
            lines += [
                "",
                f"No pixel of the {name} part is labelled {absent}: nothing here tells how well "
                f"that is found.{over}",
            ]
    return lines


def _opened_parts(provenance: Provenance) -> dict[str, PartScore]:
    return {"validation": provenance.validation} | (
        {"test": provenance.test} if provenance.test else {}
    )


def _details(spec: FrameSpec, provenance: Provenance) -> list[str]:
    """For each part that was scored a table of precision, recall, Dice and pixels per class, and
    the calibration error.
    """
    measured = {name: part for name, part in _opened_parts(provenance).items() if part.support}
    lines = ["## In detail", ""] if measured else []
    for name, part in measured.items():
        lines += [
            f"| class, {name} part | precision | recall | Dice | pixels |",
            "|---|---|---|---|---|",
        ]
        for label in spec.scored:
            fractions = [part.precision[label], part.recall[label], part.dice[label]]
            lines.append(
                f"{_row(f'{label} {_escaped(spec.class_names[label])}', fractions)} "
                f"{part.support[label]} |"
            )
        lines += ["", *_calibration(name, part)]
    return lines


def _calibration(name: str, part: PartScore) -> list[str]:
    if part.calibration_error is None:
        return []
    stated = (
        f"Expected calibration error on the {name} part: {part.calibration_error:.4f} (15 bins). "
        f"So far the probability of the "
        "predicted class lies from the share of pixels that are right, over the pixels of scored "
        "classes."
    )
    return [stated, ""]


def _row(title: str, values: Sequence[float | None]) -> str:
    shown = ["does not occur" if value is None else f"{value:.4f}" for value in values]
    return f"| {title} | {' | '.join(shown)} |"


def _escaped(name: str) -> str:
    """Return a name as text of a Markdown table: no cell ends in it, and no markup of
    HTML begins.
    """
    for special in "\\|`":
        name = name.replace(special, f"\\{special}")
    return name.replace("<", "&lt;")


def _caveats(words: str, provenance: Provenance) -> list[str]:
    how = "is one of" if isinstance(provenance.belief, Named) else "was chosen out of"
    lines = [f"This model {how} {provenance.trials} trials. {provenance.belief}", ""]
    lines += [provenance.confirmation_then, ""] if provenance.confirmation else []
    for name, part in _opened_parts(provenance).items():
        if part.interval:
            low, high = part.interval
            lines += [
                f"{words} on the {name} part, with its {part.places} places resampled: 95 % in "
                f"{low:.4f} to {high:.4f}.",
                "",
            ]
        elif part.no_interval:
            lines += [f"{words} on the {name} part has no interval: {part.no_interval}.", ""]
    if provenance.flips:
        lines += [str(provenance.flips), ""]
    return [*lines, _test_caveat(provenance)]


def _test_caveat(provenance: Provenance) -> str:
    test = provenance.test
    looks = provenance.test_looks
    if not provenance.has_test:
        return NO_TEST
    if test is None and provenance.retrained:
        return (
            "The sealed test part was not opened for the model before, and these weights were "
            "trained on it: it cannot "
            f"score them any more. Looks at it so far, over all studies that seal it: {looks}."
        )
    if test is None:
        return (
            f"The sealed test part was not opened for this model. Looks at it so far, over all "
            f"studies that seal it: {looks}."
        )
    so_far = f"Looks at the sealed test part so far, over all studies that seal it: {looks}."
    return f"{so_far} Each look at it makes its score less of a proof."


def _snippet(spec: FrameSpec) -> list[str]:
    """Six lines that predict with ONNX Runtime alone; fewer where windows are put together."""
    if spec.windows:
        return [
            "import search",
            "",
            'segmentation = search.load("THIS_DIRECTORY")',
            f"labels = segmentation.predict(image)  # raw pixels (H, W, {spec.channels}), any size",
        ]
    axes, add_channel = (
        ("(N, H, W)", "[:, None]")
        if spec.channels == 1
        else ("(N, H, W, C)", ".transpose(0, 3, 1, 2)")
    )
    return [
        "import numpy as np",
        "import onnxruntime",
        f'frames = np.load("frames.npz")["test_set"]  # raw pixels {axes}, 0..{spec.max_value}',
        f"pixels = frames{add_channel}.astype(np.float32)  # (N, {spec.channels}, {spec.height}, "
        f"{spec.width})",
        'session = onnxruntime.InferenceSession("model.onnx")',
        'labels, probabilities = session.run(["labels", "probabilities"], {"pixels": pixels})  # '
        "(N, H, W), (N, K, H, W)",
    ]
