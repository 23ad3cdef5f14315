"""The same products on NVIDIA devices: weights move there once, arrays stay there.

    w = file["blk.0.ffn_up.weight"].to("cuda")
    y = qkernels.cuda.gemv(w, x)          # x on the device: torch's, CuPy's, DLPack's

`available()` tells whether there is a device to run on, and `reason()` why not. Importing this
loads nothing: the kernels are loaded, and the driver asked, when something needs a device.
docs/cuda.md has the whole story.
"""

from qkernels.cuda._elementwise import gelu_
from qkernels.cuda._library import CudaError, available, device_count, device_info, reason
from qkernels.cuda.activations import Activations
from qkernels.cuda.device_array import DeviceArray
from qkernels.cuda.executor import Executor
from qkernels.cuda.products import dequantize, gemm, gemv, swiglu_proj
from qkernels.cuda.tensor import CudaTensor

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
