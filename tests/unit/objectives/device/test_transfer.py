"""Transfers: everything arrives as it was, and an epoch waits for its device once."""

import sys
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.overrides import TorchFunctionMode

import objectives.scoring.evaluate
import objectives.training.fit
from objectives.config import Augment, Config, Lion, Loss, Plateau, Train, UNet
from objectives.data.dataset import Dataset
from objectives.device.transfer import fetched, fetched_together, sent
from objectives.training.augment_on import AugmentOn
from objectives.training.fit import fit, prepare

CPU = torch.device("cpu")
TYPES = (torch.float32, torch.bfloat16, torch.int64, torch.uint8, torch.bool, torch.float64)


@given(
    st.lists(st.tuples(st.sampled_from(TYPES), st.lists(st.integers(0, 3), max_size=3)), min_size=1)
)
def test_tensors_that_travel_together_arrive_as_they_were(
    kinds: list[tuple[torch.dtype, list[int]]],
) -> None:
    tensors = {
        str(number): torch.randint(0, 2, shape).to(dtype)
        for number, (dtype, shape) in enumerate(kinds)
    }
    for found in (fetched_together(tensors), fetched(tensors)):
        assert list(found) == list(tensors)
        for name, tensor in tensors.items():
            assert found[name].dtype == tensor.dtype
            assert torch.equal(found[name], tensor)


def test_copies_are_contiguous_and_share_nothing() -> None:
    weights = torch.arange(24.0).reshape(1, 2, 3, 4).to(memory_format=torch.channels_last)
    found = fetched({"weights": weights, "tied": weights})
    assert torch.equal(found["weights"], weights)
    assert found["weights"].is_contiguous()
    assert len({each.data_ptr() for each in (weights, *found.values())}) == 3


def test_what_is_on_the_cpu_already_is_not_copied_there() -> None:
    here = torch.arange(3)
    assert sent(here, CPU) is here


class Reading(TorchFunctionMode):
    """Sees what makes a process wait for a GPU: numbers of a tensor, results whose size depends on
    them, and tensors made there out of the host's numbers.
    """

    WAITS = frozenset(
        {
            *(getattr(Tensor, name) for name in ("cpu", "item", "tolist", "nonzero", "new_tensor")),
            *(getattr(Tensor, f"__{name}__") for name in ("bool", "float", "int", "index")),
            *(torch.bincount, torch.nonzero, torch.masked_select, torch.unique),
        }
    )

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        named = dict(kwargs or {})
        caller = sys._getframe(1).f_globals["__name__"]
        # which draws a number of its own on the CPU
        from_loader = caller.startswith("torch.utils.data.")
        if (func in self.WAITS and not from_loader) or (func is torch.tensor and "device" in named):
            self.seen.append(func.__name__)
        return func(*args, **named)


@pytest.mark.parametrize("augment_on", ["host", "device"])
@pytest.mark.parametrize("windowed", [False, True], ids=["whole", "windows"])
@pytest.mark.parametrize(
    "config",
    [
        Config(augment=Augment(intensity=0.5)),
        Config(
            loss=Loss(cross_entropy=0.2, focal=0.3, dice=0.3, boundary=0.2),
            optimiser=Lion(),
            schedule=Plateau(watch="loss"),
            train=Train(gradient_clip=1.0, crop_scale=1.5),
            augment=Augment(intensity=0.5, vertical_flip=True),
        ),
    ],
    ids=["plain", "everything"],
)
def test_an_epoch_waits_for_its_device_once(
    terrain: Dataset,
    config: Config,
    windowed: bool,
    augment_on: AugmentOn,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """All is launched before anything is read, and what is read goes together."""
    train = config.train.model_copy(update={"steps_per_epoch": 2, "batch_size": 4, "epochs": 3})
    config = config.model_copy(update={"model": UNet(depth=2, base_filters=4), "train": train})
    seen_in_windows = {"height": 32, "width": 48, "overlap": 0.25}
    spec = terrain.spec.model_copy(update=seen_in_windows if windowed else {})
    data = replace(terrain, spec=spec)
    training = prepare(config, data, seed=0, device=CPU, augment_on=augment_on)
    reading = Reading()
    evaluate = objectives.training.fit.evaluate

    def watched(*args: Any, **named: Any) -> Any:
        reading.seen.append("validation")
        evaluation = evaluate(*args, **named)
        reading.seen.append("validated")
        return evaluation

    def together(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
        reading.seen.append("together")
        with torch._C.DisableTorchFunction():
            return fetched(tensors)

    monkeypatch.setattr(objectives.training.fit, "evaluate", watched)
    monkeypatch.setattr(objectives.scoring.evaluate, "fetched", together)
    epochs = fit(training)
    next(epochs)
    reading.seen.clear()
    with reading:
        next(epochs)
    # the loss is read where nothing is left to wait for
    assert reading.seen == ["validation", "together", "validated", "__float__"]
