"""The C interface of the ggml inside `llama-cpp-python`, as far as one product needs it.

Only functions are called and no structure of ggml is laid out here but two: the parameters of
`ggml_init`, and the first two fields of a tensor.
"""

from __future__ import annotations

import ctypes
import importlib.util
from ctypes import POINTER, Structure, c_bool, c_char_p, c_int, c_int64, c_size_t, c_void_p
from functools import lru_cache
from pathlib import Path
from typing import Any

CPU_DEVICE = 0
THREADPOOL_PARAMS_BYTES = 4096  # more than struct ggml_threadpool_params takes


class InitParams(Structure):
    """struct ggml_init_params."""

    _fields_ = (("mem_size", c_size_t), ("mem_buffer", c_void_p), ("no_alloc", c_bool))


class TensorHead(Structure):
    """The start of struct ggml_tensor."""

    _fields_ = (("type", c_int), ("buffer", c_void_p))


LogCallback = ctypes.CFUNCTYPE(None, c_int, c_char_p, c_void_p)

# name: (result, arguments). Pointers to ggml's own structures are opaque.
_BASE = {
    "ggml_log_set": (None, (LogCallback, c_void_p)),
    "ggml_init": (c_void_p, (InitParams,)),
    "ggml_free": (None, (c_void_p,)),
    "ggml_tensor_overhead": (c_size_t, ()),
    "ggml_graph_overhead_custom": (c_size_t, (c_size_t, c_bool)),
    "ggml_new_tensor_2d": (c_void_p, (c_void_p, c_int, c_int64, c_int64)),
    "ggml_mul_mat": (c_void_p, (c_void_p, c_void_p, c_void_p)),
    "ggml_get_data": (c_void_p, (c_void_p,)),
    "ggml_new_graph_custom": (c_void_p, (c_void_p, c_size_t, c_bool)),
    "ggml_build_forward_expand": (None, (c_void_p, c_void_p)),
    "ggml_backend_alloc_ctx_tensors_from_buft": (c_void_p, (c_void_p, c_void_p)),
    "ggml_backend_buft_alloc_buffer": (c_void_p, (c_void_p, c_size_t)),
    "ggml_backend_buft_name": (c_char_p, (c_void_p,)),
    "ggml_backend_buffer_get_base": (c_void_p, (c_void_p,)),
    "ggml_backend_buffer_get_size": (c_size_t, (c_void_p,)),
    "ggml_backend_buffer_free": (None, (c_void_p,)),
    "ggml_backend_tensor_alloc": (c_int, (c_void_p, c_void_p, c_void_p)),
    "ggml_backend_tensor_set": (None, (c_void_p, c_void_p, c_size_t, c_size_t)),
    "ggml_backend_dev_backend_reg": (c_void_p, (c_void_p,)),
    "ggml_backend_dev_buffer_type": (c_void_p, (c_void_p,)),
    "ggml_backend_dev_init": (c_void_p, (c_void_p, c_char_p)),
    "ggml_backend_dev_supports_op": (c_bool, (c_void_p, c_void_p)),
    "ggml_backend_reg_get_proc_address": (c_void_p, (c_void_p, c_char_p)),
    "ggml_backend_free": (None, (c_void_p,)),
    "ggml_backend_graph_compute": (c_int, (c_void_p, c_void_p)),
    "ggml_threadpool_params_init": (None, (c_void_p, c_int)),
}
_CPU = {
    "ggml_threadpool_new": (c_void_p, (c_void_p,)),
    "ggml_threadpool_free": (None, (c_void_p,)),
    "ggml_threadpool_pause": (None, (c_void_p,)),
    "ggml_backend_cpu_set_threadpool": (None, (c_void_p, c_void_p)),
    "ggml_backend_cpu_set_n_threads": (None, (c_void_p, c_int)),
}
_ALL = {"ggml_backend_dev_by_type": (c_void_p, (c_int,))}


def folder() -> Path | None:
    """Where llama-cpp-python keeps its libraries; None where it is not installed."""
    spec = importlib.util.find_spec("llama_cpp")
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / "lib"
    return found if (found / "libggml-cpu.so").exists() else None


class Library:
    """The functions named above as attributes, and what is found through them.

    Raises:
        OSError: a library cannot be loaded.
        AttributeError: a function is not there: another version of ggml.
    """

    def __init__(self, path: Path) -> None:
        for name, functions in (
            ("libggml-base.so", _BASE),
            ("libggml-cpu.so", _CPU),
            ("libggml.so", _ALL),
        ):
            library = ctypes.CDLL(str(path / name), mode=ctypes.RTLD_GLOBAL)
            for function, (result, arguments) in functions.items():
                loaded = getattr(library, function)
                loaded.restype, loaded.argtypes = result, arguments
                setattr(self, function, loaded)
        # Repacking writes a line for each matrix otherwise.
        self._silent = LogCallback(lambda level, text, data: None)
        self.ggml_log_set(self._silent, None)
        self.device: int | None = self.ggml_backend_dev_by_type(CPU_DEVICE)

    def __getattr__(self, name: str) -> Any:
        """Functions are set one by one; this is for those that are not among them."""
        raise AttributeError(f"this ggml has no {name}")

    def context(self, size: int) -> int:
        """A context for `size` bytes of tensors' and graphs' descriptions."""
        return int(self.ggml_init(InitParams(size, None, True)))

    def buffer_types(self) -> dict[str, int]:
        """The CPU's own buffer type and the extra ones, which lay weights out anew, by name."""
        found = [self.ggml_backend_dev_buffer_type(self.device)]
        registry = self.ggml_backend_dev_backend_reg(self.device)
        address = self.ggml_backend_reg_get_proc_address(
            registry, b"ggml_backend_dev_get_extra_bufts"
        )
        if address:
            extra = ctypes.CFUNCTYPE(POINTER(c_void_p), c_void_p)(address)(self.device)
            for buffer_type in extra or ():
                if not buffer_type:  # the list ends with a null pointer
                    break
                found.append(buffer_type)
        return {self.ggml_backend_buft_name(b).decode(): b for b in found}


@lru_cache(maxsize=1)
def load(path: Path) -> Library:
    """The libraries in a folder, loaded once.

    Raises:
        OSError, AttributeError: as `Library`.
    """
    return Library(path)
