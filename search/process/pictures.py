"""The pictures of one trial for the dashboard, drawn in the trial's process from its best
weights.
"""

from collections.abc import Iterator

import numpy as np
from safetensors.torch import load

from objectives.data.dataset import Dataset
from objectives.pictures.charts import confusion_picture, curve_picture
from objectives.pictures.panels import prediction_panel
from objectives.scoring.evaluate import predict
from objectives.training.state import TrainingState

PANEL_FRAMES = 6


def draw_pictures(
    state: TrainingState, data: Dataset, weights: bytes
) -> Iterator[tuple[str, bytes]]:
    """File names and PNGs, one after the other: the learning curve, the confusion matrix and a
    prediction panel.
    """
    yield "curve.png", curve_picture(state.history)
    yield "confusion.png", confusion_picture(state.confusions_GKK.sum(0).numpy(), data.spec)
    model = state.average.model
    model.load_state_dict(load(weights))
    frames = panel_frames(data)
    images = data.images[frames]
    labels = predict(model, images, data.spec, device=state.device)
    yield "predictions.png", prediction_panel(images, data.masks[frames], labels, data.spec)


def panel_frames(data: Dataset) -> np.ndarray:
    """Validation frames worth looking at: for each scored class the one with most of it, then
    evenly spaced ones.
    """
    validation = data.parts["validation"]
    pixels_NK = data.class_pixels[validation]
    richest = [int(np.argmax(pixels_NK[:, label])) for label in data.spec.scored]
    spaced = [int(place) for place in np.linspace(0, len(validation) - 1, PANEL_FRAMES)]
    places = list(dict.fromkeys([*richest, *spaced]))[:PANEL_FRAMES]
    return validation[sorted(places)]
