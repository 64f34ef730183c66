"""Which devices train in mixed precision, and in what all are scored."""

from contextlib import AbstractContextManager

import torch


def computes_bf16(device: torch.device) -> bool:
    """Return whether bfloat16 is native there: every GPU that torch supports bf16 on, and CPUs with
    AVX-512 BF16 or AMX.

    Elsewhere it would be emulated, and slower than float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16"))


def autocast(device: torch.device, *, bf16: bool) -> torch.autocast:
    """Return the context in which the network runs while training."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)


def exact() -> AbstractContextManager[None]:
    """Return the context in which a network is scored: float32 proper, and equal convolutions by
    the same algorithm.

    A GPU would take TF32 for convolutions, and by trial the algorithm that is fastest just then:
    scores that cannot be measured again. Other devices are exact as they are.
    """
    return torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
