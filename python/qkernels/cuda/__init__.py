"""The same products on NVIDIA devices: weights move there once, arrays stay there.

    w = file["blk.0.ffn_up.weight"].to("cuda")
    y = qkernels.cuda.gemv(w, x)          # x on the device: torch's, CuPy's, DLPack's

`available()` tells whether there is a device to run on, and `reason()` why not. Importing this
loads nothing: the kernels are loaded, and the driver asked, when something needs a device.
docs/cuda.md has the whole story.
"""

from ._elementwise import dequantize, gelu_
from ._library import CudaError, available, device_count, device_info, reason
from .activations import Activations
from .device_array import DeviceArray
from .executor import Executor
from .products import gemm, gemv, swiglu_proj
from .tensor import CudaTensor

__all__ = [
    "Activations",
    "CudaError",
    "CudaTensor",
    "DeviceArray",
    "Executor",
    "available",
    "dequantize",
    "device_count",
    "device_info",
    "gelu_",
    "gemm",
    "gemv",
    "reason",
    "swiglu_proj",
]
