"""Whose fault a death is, asked of a device that cannot compute: a GPU of this machine that is not
there.
"""

import pytest

from search.process.parent import ChildDiedError, ChildHungError, preload
from search.worker.blame import BrokenDeviceError, check_device

DEATH = ChildDiedError(
    "the trial's process has died: CUDA error: uncorrectable ECC error encountered"
)


@pytest.mark.parametrize(
    "death", [DEATH, ChildHungError("the trial's process got nowhere for 600 s")]
)
def test_a_device_that_cannot_compute_is_to_blame(death: ChildDiedError | ChildHungError) -> None:
    preload()
    with pytest.raises(BrokenDeviceError, match="GPU GPU-none is broken") as caught:
        check_device("GPU-none", death)
    assert str(death) in str(caught.value)
    assert caught.value.exit_code == 1


def test_a_cpu_is_sound() -> None:
    check_device("", DEATH)
