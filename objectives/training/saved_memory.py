"""Counting what autograd keeps for the way back, also as it would be under autocast, which does
nothing on meta tensors.
"""

from collections.abc import Callable, Iterable
from typing import Any, Self, final

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

# what autocast on a GPU runs in bf16, and what in float32; all else takes what it is given
NARROW = frozenset(
    {
        torch.conv1d,
        torch.conv2d,
        torch.conv_transpose2d,
        torch.matmul,
        torch.bmm,
        torch.baddbmm,
        torch.addmm,
        torch.mm,
        torch.einsum,
        Tensor.matmul,
        Tensor.__matmul__,
        Tensor.bmm,
        functional.linear,
        functional.scaled_dot_product_attention,
    }
)
WIDE = frozenset(
    {
        functional.layer_norm,
        functional.group_norm,
        functional.softmax,
        torch.softmax,
        Tensor.softmax,
        functional.log_softmax,
    }
)


@final
class EmulatedAutocast(TorchFunctionMode):
    """Casts as ``torch.autocast("cuda", torch.bfloat16)`` does, but on any device; ``weights`` are
    its copies of parameters.

    Source: the lists of operations in torch's documentation of automatic mixed precision.
    """

    def __init__(self, *, enabled: bool) -> None:
        super().__init__()
        self.enabled = enabled
        self._copies: dict[int, Tensor] = {}

    @property
    def weights(self) -> list[Tensor]:
        """The bf16 copies of the parameters, one each however often it is used."""
        return list(self._copies.values())

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        named = kwargs or {}
        if self.enabled and func in NARROW:
            args, named = (
                tuple(map(self._narrow, args)),
                {name: self._narrow(value) for name, value in named.items()},
            )
        elif self.enabled and func in WIDE:
            args, named = (
                tuple(map(_wide, args)),
                {name: _wide(value) for name, value in named.items()},
            )
        if (
            func is functional.scaled_dot_product_attention
            and len(args) == 3
            and not named
            and args[0].is_meta
        ):
            # what runs on a CPU or GPU keeps no N x N attention; meta tensors would take the way
            # that does
            return torch.ops.aten._scaled_dot_product_flash_attention(*args)[0]
        return func(*args, **named)

    def _narrow(self, value: Any) -> Any:
        if not isinstance(value, Tensor) or value.dtype != torch.float32:
            return value
        if not isinstance(value, nn.Parameter):
            return value.bfloat16()
        return self._copies.setdefault(id(value), value.bfloat16())


def _wide(value: Any) -> Any:
    return value.float() if isinstance(value, Tensor) and value.dtype == torch.bfloat16 else value


@final
class SavedStorages:
    """The memory that autograd keeps for the way back while this context is open, each piece once;
    weights do not count.
    """

    def __init__(self, model: nn.Module) -> None:
        self._own = {_key(tensor) for tensor in (*model.parameters(), *model.buffers())}
        # holds the tensors, or a freed one's key could come again
        self._kept: dict[int, Tensor] = {}
        self._hooks = torch.autograd.graph.saved_tensors_hooks(self.add, lambda tensor: tensor)

    def __enter__(self) -> Self:
        self._hooks.__enter__()
        return self

    def __exit__(self, *error: object) -> None:
        self._hooks.__exit__(*error)

    def add(self, tensor: Tensor) -> Tensor:
        """Count the tensor's memory, unless it has been; returns the tensor."""
        self._kept.setdefault(_key(tensor), tensor)
        return tensor

    def count_bytes(self, *, besides: Iterable[Tensor] = ()) -> int:
        """Return how many bytes are kept, without the model's own and those of ``besides``."""
        left_out = self._own | {_key(tensor) for tensor in besides}
        return sum(
            tensor.untyped_storage().nbytes()
            for key, tensor in self._kept.items()
            if key not in left_out
        )


def _key(tensor: Tensor) -> int:
    return int(tensor.untyped_storage()._cdata)
