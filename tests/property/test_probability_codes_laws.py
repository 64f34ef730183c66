"""Laws of probabilities in one byte."""

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from objectives.ensemble.probability_codes import (
    decode_probabilities,
    encode_probabilities,
    largest_error,
)

Probabilities = npt.NDArray[np.floating]
probabilities = st.sampled_from([np.float16, np.float32, np.float64]).flatmap(
    lambda kind: arrays(
        kind, array_shapes(max_dims=3, max_side=8), elements=st.floats(0.0, 1.0, width=16)
    )
)
laws = settings(max_examples=150, deadline=None)


@laws
@given(given_values=probabilities)
def test_what_is_decoded_is_as_near_as_stated(given_values: Probabilities) -> None:
    decoded = decode_probabilities(encode_probabilities(given_values))
    assert decoded.shape == given_values.shape
    assert decoded.dtype == np.float32
    away = np.abs(decoded.astype(np.float64) - given_values.astype(np.float64))
    assert (away <= largest_error(given_values) + 1e-6).all()  # float32
    assert (largest_error(given_values) < 0.004).all()


@laws
@given(given_values=probabilities)
def test_the_order_is_kept(given_values: Probabilities) -> None:
    order = np.argsort(given_values, axis=None)
    assert (np.diff(encode_probabilities(given_values).ravel()[order].astype(int)) >= 0).all()


def test_every_code_is_the_code_of_what_it_stands_for() -> None:
    codes = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(encode_probabilities(decode_probabilities(codes)), codes)
    assert decode_probabilities(codes)[[0, -1]].tolist() == [0.0, 1.0]


def test_rounding_beyond_the_ends_is_clipped() -> None:
    assert encode_probabilities(np.array([-1e-7, 1.0 + 1e-6])).tolist() == [0, 255]
