"""Any call at all: a product equals float64's within its bound, or raises what it may."""

import string
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import gguf
import ml_dtypes
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import qkernels as qk
from weights import IN_GGUF, block_of, bound, dense, random_weights

NDArray = np.ndarray[Any, Any]
T = TypeVar("T")

FLOATS: list[Any] = [np.float32, np.float16, ml_dtypes.bfloat16]
EPSILON = {"float32": 0.0, "float16": 2.0**-10, "bfloat16": 2.0**-7}  # of a result's rounding
THREADS = [None, 1, 2, 3, 7]
DTYPES: list[Any] = [*FLOATS, np.float64, np.int32, np.uint8, np.bool_, np.complex64]
ACTS = ["int16", "float32", "int8"]


def bounded(examples: int) -> settings:
    """The same examples in every run."""
    return settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


def result_or_refusal(call: Callable[[], T], refusals: set[type[Exception]]) -> T | None:
    """What a call returns, or None where it is to raise one of the refusals and does."""
    if not refusals:
        return call()
    with pytest.raises(tuple(refusals)):
        call()
    return None


def refusals(**wrong: bool) -> set[type[Exception]]:
    """What a call may raise: TypeError where its `kinds` are wrong, ValueError its `values`."""
    errors: dict[str, type[Exception]] = {"kinds": TypeError, "values": ValueError}
    return {errors[what] for what, is_wrong in wrong.items() if is_wrong}


@st.composite
def weights_of(draw: st.DrawFn) -> qk.QTensor:
    """A matrix of any format, or a slice of its rows or of its depth."""
    fmt = draw(st.sampled_from(qk.formats()))
    n, k = draw(st.integers(1, 12)), draw(st.integers(1, 600))
    w = qk.QTensor(random_weights(fmt, n, k, seed=draw(st.integers(0, 3))), fmt, (n, k))
    if draw(st.booleans()):
        start = draw(st.integers(0, n - 1))
        w = w[start : draw(st.integers(start + 1, n)) : draw(st.integers(1, 3))]
    if draw(st.booleans()):
        block, _ = block_of(fmt)
        w = w[:, draw(st.integers(0, (k - 1) // block)) * block :]
    return w


@st.composite
def values(draw: st.DrawFn, shape: tuple[int, ...], dtypes: list[Any] = DTYPES) -> NDArray:
    """Gaussian values of any dtype, where they lie in any order, apart or backwards."""
    seed = draw(st.integers(0, 9))
    steps = [draw(st.sampled_from([1, 1, 2, -1, -3])) for _ in shape]
    order = draw(st.permutations(range(len(shape))))
    room = np.random.default_rng(seed).standard_normal([shape[d] * abs(steps[d]) for d in order])
    array = room.astype(draw(st.sampled_from(dtypes))).transpose(np.argsort(order))
    return array[tuple(slice(None, None, step) for step in steps)]


@st.composite
def calls(draw: st.DrawFn) -> tuple[qk.QTensor, NDArray, dict[str, Any]]:
    """A product: most of them right, the others wrong in one thing or several."""
    w = draw(weights_of())
    n, k = w.shape[-2:]
    batch = tuple(draw(st.lists(st.integers(0, 3), max_size=3)))
    depth = draw(st.sampled_from([k] * 8 + [k + 1, max(k - 1, 1), 0]))
    dtypes = draw(st.sampled_from([FLOATS, FLOATS, FLOATS, DTYPES]))
    x = draw(values((*batch, depth), dtypes))
    options: dict[str, Any] = {
        "act": draw(st.sampled_from(ACTS)),
        "threads": draw(st.sampled_from(THREADS)),
    }
    if draw(st.booleans()):
        options["bias"] = draw(values((draw(st.sampled_from([n, n, n, n + 1])),), dtypes))
    if draw(st.booleans()):
        options["out"] = draw(values((*batch, n), dtypes)).copy(order=draw(st.sampled_from("CFK")))
    return w, x, options


@bounded(250)
@given(calls())
def test_a_product_is_right_or_refused(call: tuple[qk.QTensor, NDArray, dict[str, Any]]) -> None:
    w, x, options = call
    out = options.get("out")
    before = None if out is None else out.copy()
    bias = options.get("bias", np.empty(w.shape[0]))
    wrong = refusals(
        kinds="c" in (x.dtype.kind, bias.dtype.kind) or not (out is None or out.dtype in FLOATS),
        values=x.shape[-1] != w.shape[-1] or bias.shape != (w.shape[0],),
    )
    y = result_or_refusal(lambda: qk.gemm(w, x, **options), wrong)
    if y is None:
        assert out is None or out.tobytes() == before.tobytes()  # type: ignore[union-attr]
        return
    assert y is out if out is not None else y.dtype == np.float32
    assert y.shape == (*x.shape[:-1], w.shape[0])
    exact = x.astype(np.float64) @ dense(w).T
    # A single output may cancel: errors are measured against the terms of its sum.
    terms = np.linalg.norm(x.astype(np.float64), axis=-1, keepdims=True) * np.linalg.norm(
        dense(w), axis=-1
    )
    if "bias" in options:
        exact = exact + options["bias"].astype(np.float64)
        terms = terms + np.abs(options["bias"].astype(np.float64))
    rounding = EPSILON[y.dtype.name]
    limit = bound(options["act"], w.fmt) * terms + rounding * np.abs(exact) + 1e-6
    assert (np.abs(y.astype(np.float64) - exact) <= limit).all()


@bounded(150)
@given(weights_of(), st.data())
def test_rows_and_whole_tensors_decode_alike(w: qk.QTensor, data: st.DataObject) -> None:
    n, k = w.shape
    whole = qk.dequantize(w)
    np.testing.assert_array_equal(whole.astype(np.float64), dense(w))
    ids = data.draw(values((data.draw(st.integers(0, 5)),), [np.int64, np.uint8, np.int32]))
    ids = (ids % n).astype(ids.dtype)
    np.testing.assert_array_equal(qk.get_rows(w, ids), whole[ids])
    out = data.draw(values((n, k), FLOATS)).copy(order=data.draw(st.sampled_from("CFK")))
    np.testing.assert_array_equal(qk.dequantize(w, out=out), whole.astype(out.dtype))


@bounded(300)
@given(st.sampled_from([*qk.formats(), "Q4_K", "f64", "", "q4_k\0"]), st.data())
def test_a_qtensor_is_made_or_refused(fmt: str, data: st.DataObject) -> None:
    block, nbytes = block_of(fmt.lower()) if fmt.lower() in qk.formats() else (32, 18)
    n, blocks = data.draw(st.integers(0, 5)), data.draw(st.integers(0, 5))
    lead = data.draw(st.sampled_from([(), (n,), (n,), (n,), (2, n), (1, 2, n)]))
    raw = np.zeros((*lead, blocks * nbytes + data.draw(st.sampled_from([0, 0, 0, 1]))), np.uint8)
    k = data.draw(st.one_of(st.integers((blocks - 1) * block, blocks * block + 1), st.integers()))
    shape = data.draw(st.sampled_from([(*lead, k)] * 4 + [(k,), (n + 1, k), (k, k), (1, n, k)]))
    fits = shape[:-1] == lead and shape[-1] > 0
    fits = fits and -(-shape[-1] // block) * nbytes == raw.shape[-1]
    wrong = refusals(values=fmt.lower() not in qk.formats() or not fits)
    w = result_or_refusal(lambda: qk.QTensor(raw, fmt, shape), wrong)
    if w is not None:
        assert (w.shape, w.nbytes) == (shape, raw.size)
        assert w.dequantize().shape == shape


def is_view(w: qk.QTensor, index: Any) -> bool:
    """Whether rows run forwards, and columns are whole blocks, or end where the matrix does."""
    rows, columns = index if isinstance(index, tuple) else (index, slice(None))
    if isinstance(rows, slice) and (rows.step or 1) < 0:
        return False
    start, stop, step = columns.indices(w.shape[1])
    block, _ = block_of(w.fmt)
    whole = start % block == 0 and (stop % block == 0 or stop == w.shape[1])
    return bool(whole and step == 1 and start < stop)


@bounded(200)
@given(st.data())
def test_a_slice_is_the_same_slice_of_the_weights_or_refused(data: st.DataObject) -> None:
    w = data.draw(weights_of())
    rows, row = st.slices(w.shape[0]), st.integers(-w.shape[0], w.shape[0] - 1)
    columns = st.slices(w.shape[1])
    index = data.draw(
        st.one_of(rows, row, st.tuples(rows, columns), st.tuples(row, columns)),
    )
    part = result_or_refusal(lambda: w[index], refusals(values=not is_view(w, index)))
    if part is not None:
        np.testing.assert_array_equal(part.dequantize(), w.dequantize()[index])


names = st.text(string.ascii_letters + string.digits + "._-\N{SNOWMAN}", min_size=1, max_size=40)
SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "uint8": st.integers(0, 2**8 - 1),
    "int8": st.integers(-(2**7), 2**7 - 1),
    "uint16": st.integers(0, 2**16 - 1),
    "int16": st.integers(-(2**15), 2**15 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "int32": st.integers(-(2**31), 2**31 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "float32": st.floats(width=32, allow_nan=False),
    "float64": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "string": st.text(min_size=1),
}
ARRAYS = st.one_of(
    *(st.lists(SCALARS[kind], min_size=1, max_size=20) for kind in ("int32", "bool", "string"))
)


@bounded(80)
@given(
    st.dictionaries(
        names.filter(lambda name: name != "general.alignment"),
        st.one_of(*(st.tuples(st.just(k), s) for k, s in SCALARS.items()), ARRAYS),
        max_size=12,
    ),
    st.dictionaries(names, weights_of(), max_size=4),
)
def test_what_the_gguf_package_writes_is_read(
    keys: dict[str, Any], tensors: dict[str, qk.QTensor]
) -> None:
    tensors = {name: w for name, w in tensors.items() if w.fmt in {*IN_GGUF} - {"q8_1"}}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "model.gguf"
        writer = gguf.GGUFWriter(path, "any")
        for name, value in keys.items():
            if isinstance(value, list):
                writer.add_array(name, value)
            else:
                getattr(writer, f"add_{value[0]}")(name, value[1])
        for name, w in tensors.items():
            raw = np.ascontiguousarray(np.asarray(w.data))
            writer.add_tensor(name, raw, raw_dtype=gguf.GGMLQuantizationType[w.fmt.upper()])
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        with qk.load_gguf(path) as file:
            for name, value in keys.items():
                assert file.metadata[name] == (value if isinstance(value, list) else value[1])
            assert list(file) == list(tensors)
            for name, w in tensors.items():
                np.testing.assert_array_equal(
                    np.asarray(file.unpacked(name).data), np.asarray(w.data)
                )
