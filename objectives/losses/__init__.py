"""Losses: each a function of one batch's labelled pixels, mixed with weights on a simplex, in one
phase or two.
"""

from objectives.losses.class_weights import class_weights_K
from objectives.losses.mixture import MixtureLoss, build_loss
from objectives.losses.phases import Phases, build_phases, second_from

__all__ = ["MixtureLoss", "Phases", "build_loss", "build_phases", "class_weights_K", "second_from"]
