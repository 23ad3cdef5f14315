"""Multiply by quantised (GGUF) weights without inflating them.

    y = qkernels.gemv(weights, x)          # (n, k) weights, (k,) activations -> (n,)

`load_gguf` opens a file, `save_gguf` writes one, `quantize` makes weights of floats, `QTensor`
views them, `gemv` and `gemm` multiply, `dequantize` and `get_rows` decode; `rmsnorm_linear`,
`swiglu_proj`, `swiglu_ffn`, `attention` and `rope` are what a layer of a model is made of. Arrays
are NumPy's or torch's CPU tensors; importing this never imports torch. `qkernels.cuda` is the same
for weights and arrays on NVIDIA devices.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qkernels import _core
from qkernels._base.threadpool import register
from qkernels._base.threads import current, num_threads, set_num_threads
from qkernels._core import Activations
from qkernels.ops.activations import quantize_activations
from qkernels.ops.attention import KVCache, attention, attention_scores, rope
from qkernels.ops.decode import dequantize, get_rows
from qkernels.ops.fused import rmsnorm_linear, swiglu_ffn, swiglu_proj
from qkernels.ops.gated import gated_gemv
from qkernels.ops.linear import gemm, gemv
from qkernels.ops.quantize import can_quantize, quantize
from qkernels.weights.gated import GatedTensor
from qkernels.weights.packed import PackedTensor
from qkernels.weights.qtensor import QTensor

if TYPE_CHECKING:
    from qkernels.files.gguf import GGUFFile, load_gguf
    from qkernels.files.save import save_gguf
    from qkernels.files.unread import UnreadTensor

__version__: str = _core.__version__

__all__ = [
    "Activations",
    "GGUFFile",
    "GatedTensor",
    "KVCache",
    "PackedTensor",
    "QTensor",
    "UnreadTensor",
    "attention",
    "attention_scores",
    "can_quantize",
    "dequantize",
    "formats",
    "gated_gemv",
    "gemm",
    "gemv",
    "get_rows",
    "info",
    "isas",
    "load_gguf",
    "num_threads",
    "quantize",
    "quantize_activations",
    "rmsnorm_linear",
    "rope",
    "save_gguf",
    "set_num_threads",
    "swiglu_ffn",
    "swiglu_proj",
]


register()
del register


# What is imported when it is first used: most programs need none of it, or only some.
_LATER = {
    "GGUFFile": "files.gguf",
    "UnreadTensor": "files.unread",
    "load_gguf": "files.gguf",
    "save_gguf": "files.save",
}
_PARTS = ("cuda", "gates", "llama", "stream")


def __getattr__(name: str) -> Any:
    """Import what belongs to files, and `cuda`, `gates`, `llama` and `stream`, at first use."""
    if name in _LATER:
        found = getattr(import_module(f"qkernels.{_LATER[name]}"), name)
        globals()[name] = found
        return found
    if name in _PARTS:
        return import_module(f"qkernels.{name}")
    raise AttributeError(f"module 'qkernels' has no attribute {name!r}")


def __dir__() -> list[str]:
    """The names, those that are not yet imported too."""
    return sorted({*globals(), *_LATER, *_PARTS})


def formats() -> list[str]:
    """The names of the weight formats, in lower case."""
    return _core.formats()


def isas() -> list[str]:
    """The instruction sets whose kernels this CPU runs, worst first.

    The last one is used, unless the environment variable QKERNELS_ISA names another.
    """
    return _core.isas()


def info() -> dict[str, Any]:
    """What runs here: version, CPU, its features, the ISA in use, threads, formats."""
    return {
        "version": __version__,
        **_core.cpu_info(),
        "isa": _core.isa(),
        "isas": isas(),
        "isas_built": _core.isas(all=True),
        "threads": current(),
        "formats": formats(),
    }
