"""The README.md of a bundle: what the model is, how good, how far to trust that, and how
to use it.
"""

from collections.abc import Mapping

from objectives.bundle.card_scores import caveats, details, escaped, score_table
from objectives.bundle.provenance import Provenance
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
        *score_table(spec, provenance),
        "",
        *caveats(spec.score_title, provenance),
        "",
        *details(spec, provenance),
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
        f"- Started from weights that were trained before: {escaped(each.name)}, from "
        f"{escaped(each.source)}; licence: {escaped(each.licence) or 'not stated'}; SHA-256 "
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
