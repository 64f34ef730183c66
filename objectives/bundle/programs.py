"""Export of a model as an ONNX and a torch.export program: raw pixels in, labels and probabilities
out.
"""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.export import Dim, ExportedProgram
from torch.fx import GraphModule

from objectives.bundle.pixel_program import pixel_program
from objectives.bundle.program_checks import compare_programs, onnx_runner, torch_export_runner
from objectives.data.spec import FrameSpec
from objectives.program.settings import Axes, fixed_axes

INPUT = "pixels"
OUTPUTS = ("labels", "probabilities")
ANY_SIZE = Axes(height="any", width="any")


@dataclass(frozen=True)
class Programs:
    """Serialised programs of one model, and what both take along each axis."""

    onnx: bytes
    torch_export: bytes
    axes: Axes


def export_programs(segmenter: nn.Module, spec: FrameSpec) -> Programs:
    """Export a trained model for any number of frames, of any size where the network allows it,
    else of the spec's.

    Whether it does is tried: both programs must agree with torch on frames of other sizes, larger
    and smaller. A model that shrinks its frames (``train.scale`` below 1) is made for one size.
    """
    try:
        programs = _programs(_exported(segmenter, spec, any_size=True), spec)
        if programs.axes == ANY_SIZE:
            _try_sizes(programs, segmenter, spec)
    # a network may refuse open sizes in any way, within torch, the exporter or the runtime
    except Exception:
        return _programs(_exported(segmenter, spec, any_size=False), spec)
    return programs


def _try_sizes(programs: Programs, segmenter: nn.Module, spec: FrameSpec) -> None:
    runners = {
        "onnx": onnx_runner(programs.onnx),
        "torch.export": torch_export_runner(programs.torch_export),
    }
    compare_programs(runners, segmenter, _probes(spec), spec)


def _probes(spec: FrameSpec) -> Iterator[np.ndarray]:
    """Noise of the spec's size and of others, in batches of several lengths."""
    generator = np.random.default_rng(0)
    height = spec.height
    width = spec.width
    for shape in [
        (3, height, width),
        (1, height + 3, width + 5),
        (2, (height + 1) // 2, (width + 1) // 2),
    ]:
        pixels = generator.integers(0, spec.max_value, (*shape, spec.channels), endpoint=True)
        yield pixels.astype(np.uint8 if spec.max_value <= 255 else np.uint16)


def _exported(segmenter: nn.Module, spec: FrameSpec, *, any_size: bool) -> ExportedProgram:
    example = torch.zeros(2, spec.channels, spec.height, spec.width)
    sizes = {2: Dim.AUTO, 3: Dim.AUTO} if any_size else {}
    exported = torch.export.export(
        pixel_program(segmenter, spec),
        (example,),
        dynamic_shapes={INPUT: {0: Dim.DYNAMIC, **sizes}},
    )
    _forget_origin(exported)
    return exported


def _programs(exported: ExportedProgram, spec: FrameSpec) -> Programs:
    return Programs(_onnx(exported), _saved(exported), _axes(exported, spec))


def _axes(exported: ExportedProgram, spec: FrameSpec) -> Axes:
    """Height and width are free when both are symbols by themselves; where one must be a multiple,
    say, both count as fixed.
    """
    shape = next(node.meta["val"].shape for node in exported.graph.nodes if node.name == INPUT)
    free = all(isinstance(size, torch.SymInt) and size.node.expr.is_symbol for size in shape[2:])
    return ANY_SIZE if free else fixed_axes(spec)


def _forget_origin(exported: ExportedProgram) -> None:
    """Leave out the example, which would be saved as a pickle, and where each line of the program
    stood on this machine.
    """
    exported.example_inputs = None
    for module in exported.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta.pop("stack_trace", None)


def _saved(exported: ExportedProgram) -> bytes:
    buffer = io.BytesIO()
    torch.export.save(exported, buffer)
    return buffer.getvalue()


def _onnx(exported: ExportedProgram) -> bytes:
    with _quiet("torch.onnx"):
        program = torch.onnx.export(
            exported,
            (),
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    model = program.model_proto
    for described in (
        model,
        model.graph,
        *model.graph.node,
        *model.graph.value_info,
        *model.graph.initializer,
    ):
        del described.metadata_props[:]  # stack traces, with paths of this machine
    del model.graph.value_info[:]  # names of the sizes in between
    _name_axes([*model.graph.input, *model.graph.output])
    return bytes(model.SerializeToString())


def _name_axes(values: list[object]) -> None:
    """Give free sizes names that say what they are, in place of the exporter's s77."""
    for value in values:
        dims = value.type.tensor_type.shape.dim  # type: ignore[attr-defined]
        for dim, name in zip((dims[0], *dims[-2:]), ("frames", "height", "width"), strict=True):
            if dim.HasField("dim_param"):
                dim.dim_param = name


@contextmanager
def _quiet(logger: str) -> Iterator[None]:
    """Let a logger say errors only."""
    talking = logging.getLogger(logger)
    level = talking.level
    talking.setLevel(logging.ERROR)
    try:
        yield
    finally:
        talking.setLevel(level)
