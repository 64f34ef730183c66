"""Which devices train in mixed precision."""

import torch


def computes_bf16(device: torch.device) -> bool:
    """Whether bfloat16 is native there: every GPU that torch supports bf16 on, and CPUs with AVX-512 BF16 or AMX.

    Elsewhere it would be emulated, and slower than float32.
    """
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    capabilities = torch.cpu.get_capabilities()
    return any(bool(capabilities.get(name)) for name in ("avx512_bf16", "amx_bf16"))


def autocast(device: torch.device, *, bf16: bool) -> torch.autocast:
    """The context in which the network runs while training."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=bf16)
