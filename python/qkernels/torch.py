"""The part of qkernels that knows torch. Importing it imports torch; nothing else does.

The functions of the package take CPU tensors and return tensors: this module holds what they need
for that, and nothing has to be imported from here by hand.
"""

import torch


def empty(shape: tuple[int, ...], dtype: str) -> torch.Tensor:
    """A new CPU tensor, uninitialised.

    Args:
        shape: its dimensions.
        dtype: "float32", "float16" or "bfloat16".
    """
    return torch.empty(shape, dtype=getattr(torch, dtype))


def plain(x: torch.Tensor, what: str) -> torch.Tensor:
    """X without its autograd history, sharing its memory. `what` names it in messages.

    Raises:
        TypeError: x is not dense or not on the CPU, or autograd would expect a gradient from it.
    """
    if x.layout != torch.strided:
        raise TypeError(f"{what} is a {x.layout} tensor; pass {what}.to_dense()")
    if x.device.type != "cpu":
        raise TypeError(f"{what} is on {x.device}; only CPU tensors are supported")
    if not x.requires_grad:
        return x
    if torch.is_grad_enabled():
        raise TypeError(
            f"{what} requires a gradient, and qkernels computes none: "
            f"pass {what}.detach(), or call under torch.no_grad()"
        )
    return x.detach()
