"""Multiply by quantised (GGUF) weights without inflating them.

    y = qkernels.gemv(weights, x)          # (n, k) weights, (k,) activations -> (n,)

`load_gguf` opens a file, `save_gguf` writes one, `quantize` makes weights of floats, `QTensor`
views them, `gemv` and `gemm` multiply, `dequantize` and `get_rows` decode; `rmsnorm_linear`,
`swiglu_proj`, `swiglu_ffn`, `attention` and `rope` are what a layer of a model is made of. Arrays
are NumPy's or torch's CPU tensors; importing this never imports torch. `qkernels.cuda` is the same
for weights and arrays on NVIDIA devices.
"""

from typing import TYPE_CHECKING, Any

from qkernels import _core
from qkernels._base.threads import current, num_threads, set_num_threads
from qkernels._core import Activations
from qkernels.files.gguf import GGUFFile, load_gguf
from qkernels.files.unread import UnreadTensor
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
    from qkernels.files.save import save_gguf

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


def __getattr__(name: str) -> Any:
    """Import `cuda`, `gates`, `llama`, `stream` and `save_gguf` when they are first used.

    Most programs need none.
    """
    if name == "save_gguf":
        from qkernels.files.save import save_gguf

        return save_gguf
    if name in ("cuda", "gates", "llama", "stream"):
        import importlib

        return importlib.import_module(f"qkernels.{name}")
    raise AttributeError(f"module 'qkernels' has no attribute {name!r}")


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
