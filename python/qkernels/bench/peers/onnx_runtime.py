"""onnxruntime's MatMulNBits, with its fastest activations: 8 bits (accuracy level 4).

A model with one node for each copy of the weights is run as a whole, as the matrices of a language
model are, and its time divided. One session a copy would be a pool of threads a copy, each of which
keeps spinning while the next one works; one session that runs one node at a time does not exist. It
spares this peer all but one of the calls, some 5 us each.

onnxruntime lays weights out anew when it loads them, in memory of its own, whose pages nobody else
chooses.
"""

from __future__ import annotations

import importlib.util
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

from qkernels._measure.method import Array, Candidate
from qkernels.bench.peers.base import UnsuitedError
from qkernels.bench.peers.requantised import GROUP, check, requantise
from qkernels.bench.problem import Problem

if TYPE_CHECKING:
    from onnx import ModelProto, TensorProto

BITS = (2, 4, 8)
INT8_ACTIVATIONS = 4  # accuracy_level
OPSET, IR_VERSION = 17, 10
DOMAIN = "com.microsoft"
ERRORS_ONLY = 3  # of its log


class OnnxRuntime:
    """One candidate, named after its bits."""

    name = "onnxruntime"

    def absence(self) -> str | None:
        """Absent where onnxruntime, or onnx to make a model with, is not installed."""
        for package in ("onnxruntime", "onnx"):
            if importlib.util.find_spec(package) is None:
                return f"{package} is not installed"
        return None

    def candidates(self, problem: Problem, threads: int, resources: ExitStack) -> list[Candidate]:
        """One candidate.

        Raises:
            UnsuitedError: the format has another number of bits, rows are no whole number of
                groups, or this onnxruntime refuses the model.
        """
        bits = check(problem, BITS)
        quants, scales = requantise(problem, bits)
        packed = pack_bits(quants, bits)
        count = problem.copies(packed.nbytes + scales.nbytes)
        copies = distinct(packed, count), distinct(scales, count)
        session = _session(problem, bits, *copies, threads)
        feed = {"x": problem.x.reshape(problem.m, problem.k)}
        return [
            Candidate(
                f"onnxruntime int{bits} g{GROUP}",
                lambda: session.run(None, feed),
                array=lambda results: np.asarray(results[0]),
                products=count,
            )
        ]


def pack_bits(quants: Array, bits: int) -> Array:
    """Quants (n, groups, 32) in bytes (n, groups, 4 * bits), the first in the lowest bits."""
    split = quants.reshape(*quants.shape[:-1], -1, 8 // bits)
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    packed: Array = np.bitwise_or.reduce(split << shifts, axis=-1)
    return packed


def distinct(array: Array, count: int) -> list[Array]:
    """Copies that differ in their first four bytes, but for the last one, which is the original.

    onnxruntime keeps weights of equal contents once, and so in the cache.
    """
    copies = [array.copy() for _ in range(count)]
    for copy, number in zip(copies, reversed(range(count)), strict=True):
        copy.reshape(-1).view(np.uint32)[0] ^= number
    return copies


def _session(
    problem: Problem, bits: int, quants: list[Array], scales: list[Array], threads: int
) -> Any:
    """A session whose only result is that of the last copy; the others are computed all the same.

    Raises:
        UnsuitedError: this onnxruntime refuses the model.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "1")
    # Nothing may find that most results are not used.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    names = [f"{kind}{i}" for kind in ("quants", "scales") for i in range(len(quants))]
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(array) for array in (*quants, *scales)]
    options.add_external_initializers(names, values)
    model = _model(problem, bits, quants[0], scales[0], len(quants)).SerializeToString()
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except RuntimeError as error:
        raise UnsuitedError(
            f"onnxruntime {onnxruntime.__version__}: {str(error).splitlines()[0]}"
        ) from None


def _model(problem: Problem, bits: int, quants: Array, scales: Array, count: int) -> ModelProto:
    """`count` products of one x; their weights are handed over beside the model."""
    from onnx import TensorProto, helper

    n, k, m = problem.n, problem.k, problem.m
    nodes = [
        helper.make_node(
            "MatMulNBits",
            ["x", f"quants{i}", f"scales{i}"],
            [f"y{i}"],
            domain=DOMAIN,
            K=k,
            N=n,
            bits=bits,
            block_size=GROUP,
            accuracy_level=INT8_ACTIVATIONS,
        )
        for i in range(count)
    ]
    weights = [
        _external(f"{kind}{i}", array)
        for kind, array in (("quants", quants), ("scales", scales))
        for i in range(count)
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, [m, k])
    y = helper.make_tensor_value_info(f"y{count - 1}", TensorProto.FLOAT, [m, n])
    graph = helper.make_graph(nodes, "products", [x], [y], weights)
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(DOMAIN, 1)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = IR_VERSION
    return model


def _external(name: str, array: Array) -> TensorProto:
    """A tensor whose values are elsewhere."""
    from onnx import TensorProto, helper

    tensor = TensorProto(name=name, dims=array.shape, data_location=TensorProto.EXTERNAL)
    tensor.data_type = helper.np_dtype_to_tensor_dtype(array.dtype)
    tensor.external_data.add(key="location", value="memory")
    return tensor
