"""torch's tensors in every role: what stands for a tensor is resolved or refused, never misread."""

import gc
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses import FakeTensorMode
from torch.autograd import forward_ad

import qkernels as qk
from roles import BYTES, FLOATS, HEADS, INTEGERS, OUTS, RAW, K, N, W, X, name_of, numbers

Make = Callable[[torch.Tensor], torch.Tensor]


class Wrapper(torch.Tensor):
    """A tensor that hands everything on to another, as those of torchao do."""

    inner: Any
    __torch_function__: Any = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "Wrapper":
        made: Wrapper = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=inner.dtype)
        made.inner = inner
        return made

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> torch.Tensor:
        unwrapped = [a.inner if isinstance(a, Wrapper) else a for a in args]
        result: torch.Tensor = func(*unwrapped, **(kwargs or {}))
        return result


class Doubled(torch.Tensor):
    """A tensor whose memory holds half of its values."""

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> torch.Tensor:
        plain = [a.as_subclass(torch.Tensor) * 2 if isinstance(a, Doubled) else a for a in args]
        result: torch.Tensor = func(*plain, **(kwargs or {}))
        return result


class Tagged(torch.Tensor):
    """A tensor that has a method more."""


def resized(tensor: torch.Tensor, nbytes: int) -> torch.Tensor:
    tensor = tensor.clone()
    tensor.untyped_storage().resize_(nbytes)
    return tensor


def negated(tensor: torch.Tensor) -> torch.Tensor:
    """The tensor's values, of which the memory holds minus them."""
    lazy = torch.complex(torch.zeros_like(tensor), -tensor).conj().imag
    assert lazy.is_neg()
    return lazy


WITHOUT_MEMORY: dict[str, Make] = {
    "fake": lambda t: FakeTensorMode().from_tensor(t),
    "wrapper": Wrapper,
    "another's semantics": lambda t: t.clone().as_subclass(Doubled),
    "functional": torch._to_functional_tensor,
    "zero": lambda t: torch._efficientzerotensor(t.shape),
    "freed": lambda t: resized(t, 0),
    "cut": lambda t: resized(t, 4),
    "meta": lambda t: t.to("meta"),
    "sparse": lambda t: t.to_sparse(),
    "quantised": lambda t: torch.quantize_per_tensor(t, 0.1, 0, torch.qint8),
    "nested": lambda t: torch.nested.nested_tensor([t, t]),
    "jagged": lambda t: torch.nested.nested_tensor([t, t], layout=torch.jagged),
    "mkldnn": lambda t: t.to_mkldnn(),
    "complex": lambda t: t.to(torch.complex64),
    "conjugate": lambda t: t.to(torch.complex64).conj(),
    "uninitialised": lambda t: torch.nn.parameter.UninitializedParameter(),
}


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested", "ignore:torch.quantize_per")
@pytest.mark.parametrize("kind", WITHOUT_MEMORY)
def test_a_tensor_without_plain_memory_is_refused_by_name(kind: str) -> None:
    make = WITHOUT_MEMORY[kind]
    for role, (shape, call) in FLOATS.items():
        with pytest.raises(TypeError, match=rf"^{name_of(role)}\b"):
            call(make(torch.from_numpy(numbers(shape).astype(np.float32))))
    for shape, call in OUTS.values():
        with pytest.raises(TypeError, match=r"^out\b"):
            call(make(torch.zeros(shape)))
    if kind not in ("zero", "quantised", "complex", "conjugate", "mkldnn"):
        for role, use in {**BYTES, **INTEGERS}.items():
            raw = torch.from_numpy(RAW.copy() if role in BYTES else np.array([1, 2, 3]))
            with pytest.raises(TypeError, match=r"^(weights|ids|positions)\b"):
                use(make(raw))


def test_a_subclass_that_only_adds_methods_is_taken() -> None:
    x = torch.from_numpy(X.copy())
    expected = torch.from_numpy(qk.gemv(W, X))
    for tensor in (x.as_subclass(Tagged), torch.nn.Buffer(x)):
        y = qk.gemv(W, tensor)
        assert type(y) is torch.Tensor
        assert torch.equal(y, expected)
    out = torch.zeros(N).as_subclass(Tagged)
    assert qk.gemv(W, x, out=out) is out
    assert torch.equal(out.as_subclass(torch.Tensor), expected)
    with torch.no_grad():
        assert torch.equal(qk.gemv(W, torch.nn.Parameter(x)), expected)


@pytest.mark.parametrize("role", FLOATS)
def test_a_lazily_negated_input_has_its_sign(role: str) -> None:
    shape, call = FLOATS[role]
    values = numbers(shape).astype(np.float32)
    np.testing.assert_array_equal(
        np.asarray(call(negated(torch.from_numpy(values)))), np.asarray(call(values))
    )


@pytest.mark.parametrize("role", OUTS)
def test_a_lazily_negated_out_is_refused(role: str) -> None:
    shape, call = OUTS[role]
    out = negated(torch.ones(shape))
    with pytest.raises(TypeError, match="out is lazily negated"):
        call(out)
    assert (out.resolve_neg() == 1).all()


@pytest.mark.parametrize("role", OUTS)
def test_autograd_sees_what_out_was_given(role: str) -> None:
    shape, call = OUTS[role]
    leaf = torch.randn(shape, requires_grad=True)
    kept = leaf * 1
    loss = (kept * kept).sum()
    call(kept.detach())
    assert kept._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()  # type: ignore[no-untyped-call]


@pytest.mark.parametrize("role", OUTS)
def test_out_is_refused_where_torch_refuses_it(role: str) -> None:
    shape, call = OUTS[role]
    leaf = torch.zeros(shape)
    view = leaf.view(shape)
    leaf.requires_grad_()
    with torch.inference_mode():
        inferred = torch.zeros(shape)
    for out, why in (
        (leaf, "out requires a gradient"),
        (view, "out requires a gradient"),
        (inferred, "out is an inference tensor"),
    ):
        with pytest.raises(TypeError, match=why):
            call(out)
        assert not out.detach().any()
        assert inferred is out or out._version == 0
    with torch.no_grad():
        assert call(leaf) is leaf
    with torch.inference_mode():
        assert call(inferred) is inferred
    assert leaf._version == 1


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("role", FLOATS)
def test_a_derivative_is_refused_both_ways(role: str) -> None:
    shape, call = FLOATS[role]
    values = torch.from_numpy(numbers(shape).astype(np.float32))
    with pytest.raises(TypeError, match=rf"^{name_of(role)} requires a gradient"):
        call(values.clone().requires_grad_())
    with forward_ad.dual_level():
        with pytest.raises(TypeError, match=rf"^{name_of(role)} has a tangent"):
            call(forward_ad.make_dual(values, values))  # type: ignore[no-untyped-call]
        with pytest.raises(TypeError, match=rf"^{name_of(role)} has a tangent"):
            call([forward_ad.make_dual(values, values)])  # type: ignore[no-untyped-call]
        np.testing.assert_array_equal(np.asarray(call(values)), np.asarray(call(values.numpy())))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")
@pytest.mark.parametrize("transform", ["grad", "vmap", "jvp", "functionalize"])
def test_transforms_of_torch_func_are_refused(transform: str) -> None:
    def product(x: torch.Tensor) -> torch.Tensor:
        return torch.as_tensor(qk.gemv(W, x)).sum()

    x = torch.ones(3, K) if transform == "vmap" else torch.ones(K)
    function = getattr(torch.func, transform)
    with pytest.raises(TypeError, match=r"^x is inside a torch.func transform"):
        _ = function(product, (x,), (x,)) if transform == "jvp" else function(product)(x)


def test_a_result_without_values_is_refused() -> None:
    x, wide, raw = torch.ones(K), torch.ones(K).double(), torch.from_numpy(RAW)
    lazy, matrix = negated(x), torch.ones(1, K)
    for call in (
        lambda: qk.gemv(W, x),
        lambda: qk.gemv(W, wide),
        lambda: qk.gemv(W, lazy),
        lambda: qk.gemv(raw, X, "q8_0"),
        lambda: qk.get_rows(W, torch.tensor([1])),
        lambda: qk.quantize(matrix, "q8_0"),
    ):
        with FakeTensorMode(), pytest.raises(TypeError, match=r"FakeTensor"):
            call()


@pytest.mark.slow
def test_a_distributed_tensor_is_refused() -> None:
    code = """
import os, tempfile, torch, qkernels as qk, torch.distributed as dist
from torch.distributed.tensor import Replicate, distribute_tensor, init_device_mesh
store = tempfile.NamedTemporaryFile()
dist.init_process_group("gloo", rank=0, world_size=1, init_method="file://" + store.name)
w = distribute_tensor(torch.ones(4, 64), init_device_mesh("cpu", (1,)), [Replicate()])
for call in (lambda: qk.quantize(w, "q8_0"), lambda: qk.attention(w, w, w)):
    try:
        call()
    except TypeError as error:
        print(error)
dist.destroy_process_group()
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert [line.split(",")[0] for line in lines] == ["a is a DTensor", "q is a DTensor"]


BATCHES: dict[str, Callable[[Any], Any]] = {
    "gemm": lambda x: qk.gemm(W, x),
    "quantize_activations": qk.quantize_activations,
    "rmsnorm_linear": lambda x: qk.rmsnorm_linear(x, X, W),
    "swiglu_proj": lambda x: qk.swiglu_proj(x, W, W),
    "quantize": lambda x: qk.quantize(x, "q8_0"),
    "rope": lambda x: qk.rope(x, 0),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float8_e4m3fn])
@pytest.mark.parametrize("name", BATCHES)
def test_what_memory_cannot_hold_is_a_memory_error(name: str, dtype: torch.dtype) -> None:
    with pytest.raises(MemoryError):
        BATCHES[name](torch.ones(1).to(dtype).expand(2**40, K))


def test_bytes_of_weights_outlive_what_is_done_to_their_tensor() -> None:
    raw = torch.from_numpy(RAW.copy()).clone()
    weights = qk.QTensor(raw, "q8_0", (N, K))
    expected = qk.gemv(weights, X)
    with pytest.raises(RuntimeError, match="resiz"):
        raw.untyped_storage().resize_(0)
    raw.data = torch.empty(0, dtype=torch.uint8)
    np.testing.assert_array_equal(qk.gemv(weights, X), expected)


def test_results_are_plain_tensors_that_own_their_memory() -> None:
    x = torch.from_numpy(X.copy())
    results = [qk.gemv(W, x) for _ in range(50)]
    assert all(torch.equal(y, results[0]) for y in results)
    y = results[0].requires_grad_()
    (y * 2).sum().backward()  # type: ignore[no-untyped-call]
    assert y.grad is not None
    y.data.resize_(0)
    with torch.inference_mode():
        assert qk.gemv(W, x).is_inference() == torch.from_numpy(X).is_inference()
    assert isinstance(qk.attention(torch.from_numpy(HEADS), HEADS, HEADS), torch.Tensor)


@pytest.mark.usefixtures("few_objects")
def test_calls_with_tensors_keep_nothing() -> None:
    """One object kept by each call would be 1,000 blocks; one reference, 1,000 counts."""
    x = torch.from_numpy(X.copy())
    out, wide, view = torch.zeros(N), x.double(), x.as_subclass(Tagged)
    calls: list[Callable[[], Any]] = [
        lambda: qk.gemv(W, x),
        lambda: qk.gemv(W, x, out=out),
        lambda: qk.gemv(W, wide),
        lambda: qk.gemv(W, view),
        lambda: qk.gemv(W, negated(x)),
        lambda: qk.quantize_activations(x),
        lambda: qk.QTensor(torch.from_numpy(RAW), "q8_0", (N, K)),
    ]
    for call in calls:
        for _ in range(100):
            call()
        gc.collect()
        references = [sys.getrefcount(a) for a in (x, out, wide, view, X, RAW)]
        blocks = sys.getallocatedblocks()
        for _ in range(1000):
            call()
        gc.collect()
        assert sys.getallocatedblocks() - blocks < 500
        assert [sys.getrefcount(a) for a in (x, out, wide, view, X, RAW)] == references


def test_a_default_device_is_not_where_results_go() -> None:
    torch.set_default_device("meta")
    try:
        y = qk.dequantize(qk.QTensor(torch.from_numpy(RAW), "q8_0", (N, K)), dtype="bfloat16")
        assert y.device.type == qk.gemv(W, torch.from_numpy(X)).device.type == "cpu"
    finally:
        torch.set_default_device(None)
