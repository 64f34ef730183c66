"""Step 6: how fast the training loop is against a bare loop, a peer, and what the card could do.

``speed.py`` measures all; ``speed.py bare-process SECONDS`` is the bare loop alone, for step 9.

All loops train the same networks in bf16. Images a second are of whole steps: forward, backward,
optimiser. Each number is the median of several turns, and what is compared is measured in this one
run.
"""

import os
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from common import CUDA, DEVICE, data_set, say, verdict
from torch import Tensor, nn, optim
from torch.nn import functional

from objectives.config import Augment, Config, Model, Smp, Train, UNet
from objectives.data.dataset import Dataset
from objectives.losses import build_phases, class_weights_K
from objectives.networks import build_network
from objectives.program.pixels import pixels_BCHW
from objectives.training.augment_on import AugmentOn
from objectives.training.fit import prepare, train_epoch

ON = torch.device(DEVICE)
SMALL = UNet(depth=3, base_filters=16) if CUDA else UNet(depth=2, base_filters=4)
RESNET = Smp(decoder="unet", encoder="resnet34")
Step = Callable[[], object]


def wait() -> None:
    """Return when the GPU has done what it was given."""
    if CUDA:
        torch.cuda.synchronize()


def rate(step: Step, images: int, *, seconds: float = 1.5, warm: int = 5) -> float:
    """Return the images a second of a step: the median of five turns of a fifth of the time."""
    for _ in range(warm if CUDA else 1):
        step()
    wait()
    turns = []
    for _ in range(5 if CUDA else 1):
        done, began = 0, time.perf_counter()
        while time.perf_counter() - began < seconds / 5:
            # many between two looks, or the looks would be what is measured
            for _ in range(5 if CUDA else 1):
                step()
                done += images
            wait()
        turns.append(done / (time.perf_counter() - began))
    return statistics.median(turns)


def tensors(data: Dataset, batch: int) -> tuple[Tensor, Tensor]:
    """Return a batch of raw pixels and labels on the device."""
    frames = np.resize(data.parts["train"], batch)
    return pixels_BCHW(data.images[frames]).to(ON), torch.from_numpy(
        np.array(data.masks[frames])
    ).to(ON).long()


def network_of(model: Model, data: Dataset) -> nn.Module:
    """Return a network for these frames on the device, ready to train."""
    network = build_network(
        model, in_channels=data.spec.channels, num_classes=data.spec.num_classes
    )
    return network.to(ON, memory_format=torch.channels_last).train()


def autocast(*, cache: bool = True) -> torch.autocast:
    """Return the mixed precision of all loops here: bf16, on the GPU."""
    return torch.autocast(DEVICE, dtype=torch.bfloat16, enabled=CUDA, cache_enabled=cache)


def bare(model: Model, data: Dataset, batch: int, *, fused: bool = False) -> Step:
    """Return forward, backward and AdamW over one batch that lies on the device, as a step."""
    network = network_of(model, data)
    optimiser = optim.AdamW(network.parameters(), 1e-3, fused=fused or None)
    images, masks = tensors(data, batch)
    images = (images.float() / 255).contiguous(memory_format=torch.channels_last)

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with autocast():
            logits = network(images)
        functional.cross_entropy(logits.float(), masks, ignore_index=0).backward()
        optimiser.step()

    return step


class OnDevice(nn.Module):
    """A whole step for a CUDA graph: frames that lie on the device, moved, lit and made noisy
    there, trained on, averaged.

    The numbers of an epoch's augmentation are drawn on the host by (seed, epoch), as the project's
    are, and copied once.
    """

    def __init__(self, model: Model, data: Dataset, batch: int, *, project_loss: bool) -> None:
        super().__init__()
        frames = data.parts["train"]
        self.batch, self.steps = batch, max(1, len(frames) // batch)
        self.images = (
            torch.from_numpy(np.array(data.images[frames])).permute(0, 3, 1, 2).contiguous().to(ON)
        )
        self.masks = torch.from_numpy(np.array(data.masks[frames])).to(ON)
        self.network = network_of(model, data)
        self.average = [value.clone() for value in self.averaged()]
        self.optimiser = optim.AdamW(
            self.network.parameters(), 1e-3, capturable=CUDA, fused=CUDA or None
        )
        self.numbers = torch.zeros(self.steps * batch, 10, device=ON)
        self.order = torch.zeros(self.steps * batch, dtype=torch.long, device=ON)
        self.step_number = torch.zeros(1, dtype=torch.long, device=ON)
        self.within = torch.arange(batch, device=ON)
        self.ignored = data.spec.ignore_label or 0
        self.mixture = None
        if project_loss:
            config = Config()
            weights_K = class_weights_K(
                config.loss.class_weights, data.pixel_counts, data.spec.ignore_label
            ).to(ON)
            self.mixture = build_phases(
                config, weights_K=weights_K, ignore_label=data.spec.ignore_label
            ).at(0)

    def averaged(self) -> list[Tensor]:
        """Return what is averaged over steps: weights, and the statistics of normalisation."""
        values = (*self.network.parameters(), *self.network.buffers())
        return [value.detach() for value in values if value.is_floating_point()]

    def draw(self, epoch: int) -> None:
        """Draw an epoch's order and augmentation: a rotation, a scale, two shifts, two flips,
        light, contrast, gamma, noise.
        """
        generator = np.random.default_rng((0, epoch))
        count = self.steps * self.batch
        drawn = generator.uniform(-1, 1, (count, 10)).astype(np.float32)
        self.numbers.copy_(torch.from_numpy(drawn))
        self.order.copy_(torch.from_numpy(generator.permutation(len(self.images))[:count]))
        self.step_number.zero_()

    def augmented(self) -> tuple[Tensor, Tensor]:
        """Return the images and masks of the step at hand, augmented on the device."""
        places = self.step_number * self.batch + self.within
        chosen, n = self.order[places], self.numbers[places]
        images, masks = self.images[chosen].float() / 255, self.masks[chosen][:, None].float()
        height, width = images.shape[-2:]
        angle, scale = n[:, 0] * 0.26, 1 + 0.25 * n[:, 1]
        cosine, sine = torch.cos(angle) / scale, torch.sin(angle) / scale
        flip_x, flip_y = torch.sign(n[:, 4]), torch.sign(n[:, 5])
        row_x = torch.stack([cosine * flip_x, -sine * height / width, 0.1 * n[:, 2]], 1)
        row_y = torch.stack([sine * width / height, cosine * flip_y, 0.1 * n[:, 3]], 1)
        grid = functional.affine_grid(
            torch.stack([row_x, row_y], 1), list(images.shape), align_corners=False
        )
        images = functional.grid_sample(
            images, grid, mode="bilinear", padding_mode="reflection", align_corners=False
        )
        masks = functional.grid_sample(
            masks, grid, mode="nearest", padding_mode="zeros", align_corners=False
        )
        light, contrast, gamma = (n[:, i, None, None, None] for i in (6, 7, 8))
        images = (
            ((images - 0.5) * (1 + 0.2 * contrast) + 0.5 + 0.12 * light)
            .clamp(1e-4, 1)
            .pow(torch.exp2(0.4 * gamma))
        )
        images = images + 0.03 * n[:, 9, None, None, None].abs() * torch.randn_like(images)
        return images.contiguous(memory_format=torch.channels_last), masks[:, 0].long()

    def one(self) -> None:
        """Train one step."""
        images, masks = self.augmented()
        with autocast(cache=False):
            logits = self.network(images)
        if self.mixture:
            loss = self.mixture(logits, masks)
        else:
            loss = functional.cross_entropy(logits.float(), masks, ignore_index=self.ignored)
        loss.backward()
        self.optimiser.step()
        torch._foreach_lerp_(self.average, self.averaged(), 0.01)
        self.step_number.add_(1).remainder_(self.steps)

    def captured(self) -> Step:
        """Return a step as one launch; without CUDA as it is."""
        self.draw(0)
        if not CUDA:
            return self.one
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(4):
                self.optimiser.zero_grad(set_to_none=True)
                self.one()
        torch.cuda.current_stream().wait_stream(side)
        self.optimiser.zero_grad(set_to_none=True)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.one()
        return graph.replay


def stacked(model: Model, data: Dataset, batch: int, networks: int) -> Step:
    """Return a step of so many networks of one shape, trained at once by vmap, each on a batch of
    its own.
    """
    from torch.func import functional_call, grad_and_value, stack_module_state, vmap

    each = [network_of(model, data) for _ in range(networks)]
    weights, buffers = stack_module_state(each)
    weights = {name: value.detach() for name, value in weights.items()}
    moments = {
        name: (torch.zeros_like(value), torch.zeros_like(value)) for name, value in weights.items()
    }
    images, masks = tensors(data, batch)
    images = (images.float() / 255).expand(networks, *images.shape).contiguous()
    masks = masks.expand(networks, *masks.shape).contiguous()

    def loss(own: dict, counted: dict, pixels: Tensor, labels: Tensor) -> Tensor:
        with autocast(cache=False):
            logits = functional_call(each[0], (own, counted), (pixels,))
        return functional.cross_entropy(logits.float(), labels, ignore_index=0)

    gradients = vmap(grad_and_value(loss), randomness="different")

    def step() -> None:
        found, _ = gradients(weights, buffers, images, masks)
        with torch.no_grad():
            # Adam without its corrections: the cost is what counts here
            for name, gradient in found.items():
                first, second = moments[name]
                first.lerp_(gradient, 0.1)
                second.lerp_(gradient.square(), 0.001)
                weights[name].addcdiv_(first, second.sqrt().add_(1e-8), value=-1e-3)

    return step


def real(
    model: Model,
    data: Dataset,
    batch: int,
    prefetchers: int,
    *,
    epochs: int = 2,
    augment_on: AugmentOn = "host",
) -> float:
    """Return the images a second of the project's own loop after its first epoch, in which its
    prefetchers fill up.
    """
    steps = 40 if CUDA else 1
    frames = len(data.parts["train"])
    config = Config(
        model=model,
        augment=Augment(intensity=0.5),
        train=Train(
            batch_size=min(batch, frames),
            steps_per_epoch=min(steps, max(1, frames // batch)),
            epochs=100,
        ),
    )
    training = prepare(
        config, data, seed=0, device=ON, prefetchers=prefetchers, augment_on=augment_on
    )
    began = time.perf_counter()
    train_epoch(training)
    first = time.perf_counter() - began
    seconds = []
    for _ in range(epochs):
        wait()
        began = time.perf_counter()
        train_epoch(training)
        wait()
        seconds.append(time.perf_counter() - began)
    images = sum(len(keys) for keys in training.batches.order)
    found = images / statistics.median(seconds)
    say(
        f"    first epoch {first:.2f} s, later ones {statistics.median(seconds):.2f} s for "
        f"{images} frames"
    )
    del training
    return found


def peer(model: Model, data: Dataset, batch: int, workers: int) -> float:
    """Return the images a second of Lightning, DataLoader and albumentations around the same
    network.
    """
    import logging
    import warnings

    warnings.filterwarnings("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    import albumentations as albu

    try:
        import lightning as pl
    except ImportError:
        import pytorch_lightning as pl
    from torch.utils.data import DataLoader, Dataset

    frames = np.resize(data.parts["train"], batch * (40 if CUDA else 1))
    augment = albu.Compose(
        [
            albu.HorizontalFlip(p=0.5),
            albu.Affine(scale=(0.8, 1.2), translate_percent=0.1, rotate=(-15, 15), p=0.8),
            albu.RandomBrightnessContrast(p=0.5),
            albu.RandomGamma(p=0.25),
            albu.GaussNoise(p=0.25),
            albu.GaussianBlur(p=0.15),
        ]
    )

    class Frames(Dataset):
        def __len__(self) -> int:
            return len(frames)

        def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
            moved = augment(
                image=np.asarray(data.images[frames[index]]),
                mask=np.asarray(data.masks[frames[index]]),
            )
            return torch.from_numpy(moved["image"]).permute(
                2, 0, 1
            ).float() / 255, torch.from_numpy(moved["mask"]).long()

    class Net(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.network = build_network(
                model, in_channels=data.spec.channels, num_classes=data.spec.num_classes
            )
            self.seconds: list[float] = []

        def training_step(self, found: tuple[Tensor, Tensor], index: int) -> Tensor:
            loss = functional.cross_entropy(self.network(found[0]), found[1], ignore_index=0)
            self.log("loss", loss)
            return loss

        def on_train_epoch_start(self) -> None:
            wait()
            self.began = time.perf_counter()

        def on_train_epoch_end(self) -> None:
            wait()
            self.seconds.append(time.perf_counter() - self.began)

        def configure_optimizers(self) -> optim.Optimizer:
            return optim.AdamW(self.parameters(), 1e-3)

    net = Net()
    trainer = pl.Trainer(
        max_epochs=3 if CUDA else 1,
        accelerator="gpu" if CUDA else "cpu",
        devices=1,
        precision="bf16-mixed" if CUDA else "32-true",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        benchmark=True,
    )
    loader = DataLoader(
        Frames(),
        batch,
        shuffle=True,
        num_workers=workers,
        persistent_workers=workers > 0,
        pin_memory=CUDA,
        drop_last=True,
    )
    trainer.fit(net, loader)
    return len(frames) / statistics.median(net.seconds[1:] or net.seconds)


def launches(step: Step) -> str:
    """Say how many kernels one step launches, and how long the GPU computes in it."""
    if not CUDA:
        return "no GPU"
    try:
        return _launches(step)
    except Exception as error:
        return f"not profiled: {type(error).__name__}: {error}"


def _launches(step: Step) -> str:
    from torch.profiler import ProfilerActivity, profile

    step()
    wait()
    began = time.perf_counter()
    for _ in range(10):
        step()
    wait()
    took = (time.perf_counter() - began) / 10
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        for _ in range(3):
            step()
        wait()
    events = [
        event for event in seen.events() if event.device_type == torch.autograd.DeviceType.CUDA
    ]
    busy = sum(event.device_time_total for event in events) / 3
    return (
        f"{len(events) / 3:.0f} kernels, GPU computes {busy / 1000:.2f} of {took * 1000:.2f} "
        f"ms "
        f"({busy / took / 1e4:.0f} %)"
    )


def tried(name: str, measure: Callable[[], float]) -> float:
    """Return a number, or 0 and say why there is none: one that fails must not cost the others."""
    began = time.monotonic()
    try:
        found = measure()
        say(f"  {name}: {found:,.0f} img/s ({time.monotonic() - began:.0f} s)")
    except Exception as error:
        found = 0.0
        say(
            f"  {name}: FAILED, {type(error).__name__}: "
            f"{str(error).splitlines()[0][:200] if str(error) else ''}"
        )
    return found


def ceilings() -> None:
    """Measure the two ceilings of the card: bytes and bf16 products."""
    if not CUDA:
        return
    a = torch.empty(2**30, dtype=torch.uint8, device=ON).random_()
    b = torch.empty_like(a)
    x = torch.randn(8192, 8192, dtype=torch.bfloat16, device=ON)

    def timed(work: Step) -> float:
        work()
        wait()
        began = time.perf_counter()
        for _ in range(10):
            work()
        wait()
        return (time.perf_counter() - began) / 10

    copied, product = 2 * a.nbytes / timed(lambda: b.copy_(a)), 2 * 8192**3 / timed(lambda: x @ x)
    say(f"  copy {copied / 1e12:.2f} TB/s, bf16 product {product / 1e12:.0f} TFLOP/s")


def bare_rate(
    model: Model, data: Dataset, batch: int, *, fused: bool = False, warm: int = 5
) -> float:
    """Return the images a second of the bare loop."""
    return rate(bare(model, data, batch, fused=fused), batch, warm=warm)


def graph_rate(data: Dataset, batch: int, *, project_loss: bool) -> float:
    """Return the images a second of the small network, with all on the device in one CUDA graph."""
    return rate(OnDevice(SMALL, data, batch, project_loss=project_loss).captured(), batch)


def stacked_rate(data: Dataset, batch: int, networks: int) -> float:
    """Return the images a second, in all, of so many small networks trained at once."""
    return rate(stacked(SMALL, data, batch, networks), networks * batch, warm=2)


def measure_small(prefetchers: tuple[int, ...]) -> dict[str, float]:
    """Measure every loop with the small network; return their images a second by name."""
    data, found = data_set(200 if CUDA else 60), dict[str, float]()
    say(
        f"U-Net 16-32-64-128 at {data.spec.height}x{data.spec.width}, {len(data.parts['train'])} "
        f"training frames"
    )
    batch, *larger = (32, 128) if CUDA else (8,)
    for size in (batch, *larger):
        found[f"bare {size}"] = tried(f"bare, batch {size}", partial(bare_rate, SMALL, data, size))
    say("    " + launches(bare(SMALL, data, batch)))
    for count in prefetchers:
        name = f"the project's loop with augmentation, batch {batch}, {count} prefetchers"
        found[f"loop {count}"] = tried(name, partial(real, SMALL, data, batch, count))
    name = f"the project's loop with augmentation on the device, batch {batch}"
    found["loop device"] = tried(name, partial(real, SMALL, data, batch, 0, augment_on="device"))
    most = prefetchers[-1]
    name = f"Lightning + DataLoader({most}) + albumentations, batch {batch}"
    found["peer"] = tried(name, partial(peer, SMALL, data, batch, most))
    for size in (batch, *larger):
        name = f"all on the device in one CUDA graph, batch {size}"
        found[f"graph {size}"] = tried(name, partial(graph_rate, data, size, project_loss=False))
    name = f"the same with the project's losses, batch {batch}"
    found["graph loss"] = tried(name, partial(graph_rate, data, batch, project_loss=True))
    found["fused"] = tried(
        f"bare with fused AdamW, batch {batch}", partial(bare_rate, SMALL, data, batch, fused=CUDA)
    )
    networks = 8 if CUDA else 2
    name = f"{networks} networks at once by vmap, batch {batch} each, in all"
    found[f"vmap {networks}"] = tried(name, partial(stacked_rate, data, batch, networks))
    return found


def measure_large(prefetchers: int) -> dict[str, float]:
    """Measure the bare loop and the project's with a large network; return their images a second by
    name.
    """
    data, found = data_set(40 if CUDA else 30, (512, 512) if CUDA else (96, 96)), dict[str, float]()
    say(f"smp Unet resnet34 at {data.spec.height}x{data.spec.width}")
    batch = 8 if CUDA else 2
    found["bare large"] = tried(
        f"bare, batch {batch}", partial(bare_rate, RESNET, data, batch, warm=3)
    )
    if CUDA:
        say("    " + launches(bare(RESNET, data, batch)))
    name = f"the project's loop with augmentation, batch {batch}, {prefetchers} prefetchers"
    found[f"large {prefetchers}"] = tried(name, partial(real, RESNET, data, batch, prefetchers))
    name = f"the project's loop with augmentation on the device, batch {batch}"
    found["large device"] = tried(name, partial(real, RESNET, data, batch, 0, augment_on="device"))
    return found


def main() -> None:
    """Measure all of step 6, the numbers that matter most first."""
    torch.backends.cudnn.benchmark = True  # as in a trial's process
    torch.set_num_threads(max(1, (os.cpu_count() or 2) // 2))
    ceilings()
    prefetchers = (4, 12) if CUDA else (0,)
    few, many = prefetchers[0], prefetchers[-1]
    found = measure_small(prefetchers) | measure_large(few)

    def share(one: str, other: str) -> float:
        return found[one] / found[other] if found[other] else 0.0

    batch = 32 if CUDA else 8
    base = f"bare {batch}"
    loop = share(f"loop {many}", base)
    shares = (
        f"loop/bare {share(f'loop {few}', base):.2f} ({loop:.2f} with {many})",
        f"peer/bare {share('peer', base):.2f}",
        f"graph/bare {share(f'graph {batch}', base):.2f}",
        f"large loop/bare {share(f'large {few}', 'bare large'):.2f}",
    )
    verdict(loop >= 0.9 if CUDA else True, ", ".join(shares))


def bare_process(seconds: float) -> None:
    """Print the images a second of one bare loop, one of several in step 9; the last line is the
    number.
    """
    torch.backends.cudnn.benchmark = True
    torch.set_num_threads(1)
    data = data_set(60)
    print(rate(bare(SMALL, data, 32), 32, seconds=seconds))


if __name__ == "__main__":
    if sys.argv[1:2] == ["bare-process"]:
        bare_process(float(sys.argv[2]))
    else:
        main()
