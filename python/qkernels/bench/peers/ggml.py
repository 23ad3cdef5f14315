"""ggml, through the shared libraries that `llama-cpp-python` brings.

A graph of one `ggml_mul_mat` is built for each copy of the weights and kept, as llama.cpp keeps its
own. x lies in ggml's memory already and the result stays there, which spares ggml two copies that a
Python program would need; quantising x is part of `ggml_mul_mat`. Weights lie in a CPU backend
buffer: the native one, and each extra one that takes the format and lays it out anew (repacked in
interleaved rows, or in AMX tiles). Each is a candidate of its own.
"""

from __future__ import annotations

import ctypes
from contextlib import ExitStack

import numpy as np

from qkernels import _core
from qkernels.bench.memory import advise
from qkernels.bench.method import Array, Candidate, Rotation
from qkernels.bench.peers import ggml_library
from qkernels.bench.peers.base import UnsuitedError
from qkernels.bench.peers.ggml_library import Library, TensorHead
from qkernels.bench.problem import Problem

F32 = 0  # GGML_TYPE_F32
GRAPH_NODES = 8
# GGUF has ids for these, but ggml uses them for activations only.
ACTIVATION_FORMATS = ("q8_1", "q8_k")
EXTRA_NAMES = {"CPU_REPACK": "ggml repacked", "AMX": "ggml AMX", "CPU": "ggml"}


class Ggml:
    """ggml's matrix product, one candidate for each layout that takes the format."""

    name = "ggml"

    def absence(self) -> str | None:
        """Absent where llama-cpp-python is not installed, or not as it is expected."""
        path = ggml_library.folder()
        if path is None:
            return "llama-cpp-python is not installed"
        try:
            library = ggml_library.load(path)
        except (OSError, AttributeError) as error:
            return str(error)
        return None if library.device else "it has no CPU device"

    def candidates(self, problem: Problem, threads: int, resources: ExitStack) -> list[Candidate]:
        """One candidate a layout.

        Raises:
            UnsuitedError: the format is none of ggml's, or rows are no whole number of blocks.
        """
        info = _core.format_info(problem.fmt)
        kind, block = info.gguf_id, info.block
        if kind is None or problem.fmt in ACTIVATION_FORMATS:
            raise UnsuitedError(f"ggml has no weights in {problem.fmt}")
        if problem.k % block != 0:
            raise UnsuitedError(f"k={problem.k} is no whole number of blocks of {block}")
        path = ggml_library.folder()
        if path is None:
            raise UnsuitedError("llama-cpp-python is not installed")
        library = ggml_library.load(path)
        engine = _Engine(library, threads, resources)
        return [
            _candidate(engine, problem, kind, EXTRA_NAMES.get(name, f"ggml {name}"), buffer_type)
            for name, buffer_type in library.buffer_types().items()
            if _takes(library, buffer_type, problem, kind)
        ]


class _Engine:
    """A CPU backend with a pool of threads, and what is to be freed after it."""

    def __init__(self, library: Library, threads: int, resources: ExitStack) -> None:
        self.library = library
        self.resources = resources
        params = ctypes.create_string_buffer(ggml_library.THREADPOOL_PARAMS_BYTES)
        library.ggml_threadpool_params_init(params, threads)
        self.pool = library.ggml_threadpool_new(params)
        resources.callback(library.ggml_threadpool_free, self.pool)
        self.backend = library.ggml_backend_dev_init(library.device, None)
        resources.callback(library.ggml_backend_free, self.backend)
        library.ggml_backend_cpu_set_n_threads(self.backend, threads)
        library.ggml_backend_cpu_set_threadpool(self.backend, self.pool)

    def context(self, tensors: int, graphs: int) -> int:
        """A context for that many tensors and graphs."""
        graph_bytes = self.library.ggml_graph_overhead_custom(GRAPH_NODES, False)
        size = tensors * self.library.ggml_tensor_overhead() + graphs * graph_bytes
        context = self.library.context(size)
        self.resources.callback(self.library.ggml_free, context)
        return context

    def allocate(self, context: int, buffer_type: int) -> int:
        """A buffer with room for all tensors of a context."""
        buffer = self.library.ggml_backend_alloc_ctx_tensors_from_buft(context, buffer_type)
        if not buffer:
            raise MemoryError("ggml could not allocate its buffers")
        self.resources.callback(self.library.ggml_backend_buffer_free, buffer)
        return int(buffer)

    def compute(self, graph: int) -> None:
        """Run a graph.

        Raises:
            RuntimeError: ggml reports a failure.
        """
        status = self.library.ggml_backend_graph_compute(self.backend, graph)
        if status != 0:
            raise RuntimeError(f"ggml_backend_graph_compute returned {status}")

    def rest(self) -> None:
        """Let the pool's threads sleep; the next graph wakes them."""
        self.library.ggml_threadpool_pause(self.pool)


def _takes(library: Library, buffer_type: int, problem: Problem, kind: int) -> bool:
    """Whether ggml multiplies by such weights in buffers of that type, asked as llama.cpp asks:
    with an empty buffer, since a type may refuse a format by aborting when it is to hold it.
    """
    context = library.context(4 * library.ggml_tensor_overhead())
    buffer = library.ggml_backend_buft_alloc_buffer(buffer_type, 0)
    try:
        weights = library.ggml_new_tensor_2d(context, kind, problem.k, problem.n)
        x = library.ggml_new_tensor_2d(context, F32, problem.k, problem.m)
        TensorHead.from_address(weights).buffer = buffer
        product = library.ggml_mul_mat(context, weights, x)
        return bool(library.ggml_backend_dev_supports_op(library.device, product))
    finally:
        library.ggml_backend_buffer_free(buffer)
        library.ggml_free(context)


def _candidate(
    engine: _Engine, problem: Problem, kind: int, name: str, buffer_type: int
) -> Candidate:
    library, raw, x = engine.library, problem.raw, np.ascontiguousarray(problem.x)
    copies = problem.copies(raw.nbytes)
    weights_context = engine.context(copies, 0)
    weights = [
        library.ggml_new_tensor_2d(weights_context, kind, problem.k, problem.n)
        for _ in range(copies)
    ]
    place = engine.allocate(weights_context, buffer_type)
    base = library.ggml_backend_buffer_get_base(place)
    advise(base, library.ggml_backend_buffer_get_size(place), problem.huge_pages)
    for tensor in weights:
        library.ggml_backend_tensor_set(tensor, raw.ctypes.data, 0, raw.nbytes)

    native = library.buffer_types()["CPU"]
    shared = engine.context(2, 0)
    x_tensor = library.ggml_new_tensor_2d(shared, F32, problem.k, problem.m)
    out = library.ggml_new_tensor_2d(shared, F32, problem.n, problem.m)
    buffer = engine.allocate(shared, native)
    library.ggml_backend_tensor_set(x_tensor, x.ctypes.data, 0, x.nbytes)
    address = library.ggml_get_data(out)

    graph_context = engine.context(copies, copies)
    graphs = []
    for tensor in weights:
        product = library.ggml_mul_mat(graph_context, tensor, x_tensor)
        library.ggml_backend_tensor_alloc(buffer, product, address)  # all into the same memory
        graphs.append(library.ggml_new_graph_custom(graph_context, GRAPH_NODES, False))
        library.ggml_build_forward_expand(graphs[-1], product)
    rotation = Rotation(graphs)

    def result(_: object) -> Array:
        floats = (ctypes.c_float * (problem.n * problem.m)).from_address(address)
        return np.array(floats, np.float32).reshape(problem.m, problem.n)

    return Candidate(name, lambda: engine.compute(rotation.next()), engine.rest, result)
