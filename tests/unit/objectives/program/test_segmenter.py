"""The program around a network: scaling, the area average, sizes, and which classes may be
predicted.
"""

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from objectives.config import Config, Train, UNet
from objectives.program.segmenter import Segmenter, area_matrix, build_segmenter, predict_labels
from tests.support.frame_specs import frame_spec

SPEC = frame_spec(
    (24, 40), ("void", "a", "b", "c"), 3, mean=(0.2, 0.4, 0.6), std=(0.1, 0.2, 0.3), scored=(1, 3)
)


class Recorder(nn.Module):
    """A network that gives its input back as logits, and remembers it."""

    def forward(self, images_BCHW: Tensor) -> Tensor:
        self.seen = images_BCHW
        return images_BCHW


def pixels(batch: int = 2, seed: int = 0) -> Tensor:
    shape = (batch, SPEC.channels, SPEC.height, SPEC.width)
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8))


@pytest.mark.parametrize(("scale", "matrices"), [(1.0, 0), (0.99, 0), (0.5, 2)])
def test_area_matrices_are_built_only_where_frames_shrink(scale: float, matrices: int) -> None:
    segmenter = Segmenter(Recorder(), SPEC, scale)
    assert len([buffer for buffer in segmenter.buffers() if buffer.dim() == 2]) == matrices


@pytest.mark.parametrize("shrunk", [(12, 20), (18, 30), (7, 11), (24, 40), (1, 1)])
def test_the_area_matrix_is_the_area_average_of_opencv(shrunk: tuple[int, int]) -> None:
    image_HW = np.random.default_rng(0).random((24, 40), dtype=np.float32)
    ours = area_matrix(24, shrunk[0]) @ torch.from_numpy(image_HW) @ area_matrix(40, shrunk[1]).T
    theirs = cv2.resize(image_HW, shrunk[::-1], interpolation=cv2.INTER_AREA)
    np.testing.assert_allclose(ours.numpy(), theirs, atol=2e-6)


@pytest.mark.parametrize("factor", [2, 4])
def test_a_whole_factor_is_average_pooling(factor: int) -> None:
    images_BCHW = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(0))
    ours = area_matrix(24, 24 // factor) @ images_BCHW @ area_matrix(40, 40 // factor).T
    torch.testing.assert_close(ours, functional.avg_pool2d(images_BCHW, factor))


@given(size=st.integers(1, 200), data=st.data())
def test_each_row_of_the_area_matrix_averages_an_interval_and_no_pixel_is_forgotten(
    size: int, data: st.DataObject
) -> None:
    shrunk = data.draw(st.integers(1, size))
    matrix = area_matrix(size, shrunk).double()
    assert matrix.shape == (shrunk, size)
    assert (matrix >= 0).all()
    torch.testing.assert_close(
        matrix.sum(1), torch.ones(shrunk, dtype=torch.float64), atol=1e-5, rtol=0
    )
    torch.testing.assert_close(
        matrix.sum(0), torch.full((size,), shrunk / size, dtype=torch.float64), atol=1e-5, rtol=0
    )


def test_the_network_sees_normalised_pixels() -> None:
    network = Recorder()
    raw = pixels()
    Segmenter(network, SPEC, 1.0)(raw)
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (SPEC.mean, SPEC.std))
    torch.testing.assert_close(network.seen, (raw / 255 - mean) / std, atol=1e-5, rtol=0)


def test_below_full_scale_the_network_sees_shrunken_frames_and_the_logits_are_enlarged() -> None:
    network = Recorder()
    raw = pixels()
    logits = Segmenter(network, SPEC, 0.5)(raw)
    assert network.seen.shape == (2, 3, 12, 20)
    full = Recorder()
    Segmenter(full, SPEC, 1.0)(raw)
    torch.testing.assert_close(network.seen, functional.avg_pool2d(full.seen, 2), atol=1e-4, rtol=0)
    assert logits.shape == (2, 3, 24, 40)
    torch.testing.assert_close(
        logits, functional.interpolate(network.seen, size=(24, 40), mode="bilinear")
    )


@pytest.mark.parametrize("scale", [1.0, 0.75, 0.5, 0.3, 0.01])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_logits_have_the_size_of_the_frame_at_every_scale(scale: float, dtype: torch.dtype) -> None:
    config = Config(model=UNet(depth=2, base_filters=4), train=Train(scale=scale))
    segmenter = build_segmenter(config, SPEC).to(memory_format=torch.channels_last).eval()
    logits = segmenter(pixels().to(dtype))
    assert logits.shape == (2, SPEC.num_classes, SPEC.height, SPEC.width)
    assert logits.dtype == torch.float32


def test_constants_of_the_data_are_no_weights() -> None:
    assert (
        not {"gain", "shift", "rows", "columns"}
        & build_segmenter(Config(), SPEC).state_dict().keys()
    )


def test_only_scored_classes_are_predicted_and_the_best_of_them() -> None:
    logits = torch.randn(3, 4, 24, 40, generator=torch.Generator().manual_seed(0))
    logits[:, (0, 2)] += 100.0
    labels = predict_labels(logits, SPEC)
    assert set(labels.unique().tolist()) == {1, 3}
    assert torch.equal(labels == 3, logits[:, 3] > logits[:, 1])
