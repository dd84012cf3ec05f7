"""Where and how precisely to compute: one answer for training, features and scoring."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from iqa.distributed.group import is_launched, local_rank
from iqa.errors import IqaError, UserError, first_line


def choose_device(name: str) -> torch.device:
    """The device called `name`; "auto" takes the first GPU there is, else the CPU.

    Of several processes on a machine each takes a GPU of its own: "auto" and "cuda" are the one of its number.

    Raises:
        UserError: the device is not on this machine.
    """
    if name == "auto":
        gpu = "mps" if torch.backends.mps.is_available() and not is_launched() else "cpu"
        name = "cuda" if torch.cuda.is_available() else gpu
    device = torch.device(f"cuda:{local_rank()}" if name == "cuda" and is_launched() else name)
    here = {
        "cpu": 1,
        "cuda": torch.cuda.device_count() if torch.cuda.is_available() else 0,
        "mps": int(torch.backends.mps.is_available()),
    }[device.type]
    if (device.index or 0) >= here:
        fewer = f"start {here} processes here, or " if is_launched() and here else ""
        raise UserError(
            f"device {device} is not on this machine",
            got=f"{here} device(s) of kind '{device.type}'",
            fix=f"{fewer}set training.device to {'cpu' if fewer else 'auto, or to cpu'}",
        )
    return device


def choose_precision(name: str, device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware multiplies in it, else float32; a name other than "auto" is obeyed."""
    if name == "float32":
        return torch.float32
    if name == "bfloat16":
        return torch.bfloat16
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    if device.type == "cpu":
        capabilities = torch.cpu.get_capabilities()
        fast = capabilities.get("avx512_bf16") or capabilities.get("amx_bf16") or capabilities.get("bf16")
        return torch.bfloat16 if fast else torch.float32
    return torch.float32


def autocast(device: torch.device, precision: torch.dtype) -> torch.autocast:
    """Mixed precision on `device`; float32 means none."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision is torch.bfloat16)


@contextlib.contextmanager
def memory_advice(device: torch.device) -> Iterator[None]:
    """Turn 'out of memory' into a message that says which keys to lower.

    Raises:
        IqaError: the block ran out of memory on the device or the host.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        short_of_memory = isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(
            words in str(error).lower() for words in ("out of memory", "can't allocate memory", "not enough memory")
        )
        if not short_of_memory:
            raise
        raise IqaError(
            f"out of memory on {device}",
            got=first_line(error),
            fix="lower data.batch_size, data.image_size or model.backbone; "
            "model.freeze_backbone=true needs least; what was saved can be resumed",
        ) from error
