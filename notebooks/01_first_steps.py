# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # First steps
#
# A language model is a few hundred matrices, and generating one token multiplies one vector by each
# of them. In a GGUF file these matrices are *quantised*: blocks of 32 or 256 weights share a scale
# and keep 2 to 8 bits each. qkernels multiplies by the blocks as they lie in the file.
#
# (This file is a notebook in jupytext's percent format: open it in Jupyter with jupytext, in an
# editor that knows cells, or run it as a script.)

# %%
import time

import gguf
import numpy as np

import qkernels as qk
from qkernels.models import find_model

qk.info()["isa"], qk.info()["threads"]

# %% [markdown]
# Opening maps the file and checks its head. Nothing is read that nobody asks for: the 49,152 tokens
# of the vocabulary become Python strings only when we look at them.

# %%
begin = time.perf_counter()
file = qk.load_gguf(find_model())
print(f"opened {file} in {(time.perf_counter() - begin) * 1e3:.2f} ms")
print(file.metadata["general.architecture"], "with", file.metadata["llama.block_count"], "layers")

# %%
weights = file["blk.0.ffn_gate.weight"]
assert isinstance(weights, qk.QTensor)
print(weights, f"{weights.compression_ratio:.1f}x smaller than float32")

# %% [markdown]
# One product, three ways to hold x, against float64 with the weights decoded by the `gguf` package.

# %%
n, k = weights.shape
x = np.random.default_rng(0).standard_normal(k).astype(np.float32)
dense = gguf.quants.dequantize(np.asarray(weights.data), gguf.GGMLQuantizationType.Q4_1)
exact = dense.astype(np.float64) @ x

errors = {}
for act in ("int16", "float32", "int8"):
    y = qk.gemv(weights, x, act=act)
    errors[act] = np.linalg.norm(y - exact) / np.linalg.norm(exact)
    print(f"{act:8} relative error {errors[act]:.1e}")

# %% [markdown]
# `int16` is the default: 16 bits per value leave an error far below the one that quantising the
# *weights* has made, and cost no more time than memory takes to deliver them.
#
# How long does it take? Decoding first costs more than the product itself, every time.

# %%


def milliseconds(call, repeats: int = 50) -> float:  # type: ignore[no-untyped-def]
    """Median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e3


kind = gguf.GGMLQuantizationType.Q4_1
decoded_first = milliseconds(lambda: gguf.quants.dequantize(np.asarray(weights.data), kind) @ x, 5)
fused = milliseconds(lambda: qk.gemv(weights, x))
print(f"decode, then multiply: {decoded_first:.3f} ms   qk.gemv: {fused:.3f} ms")

# %% [markdown]
# ## Something to change
#
# Give x one outlier of 1000 and look at the errors again: which of the three suffers, and why does
# `int16` hold? (Scales are per 32 values: an outlier costs its 31 neighbours precision, nobody
# else.) Then try `weights @ x`, `weights[:10]`, and
# `qk.get_rows(file["token_embd.weight"], [1, 2])`.

# %%
x[7] = 1000
exact = dense.astype(np.float64) @ x
for act in errors:
    y = qk.gemv(weights, x, act=act)
    print(f"{act:8} relative error {np.linalg.norm(y - exact) / np.linalg.norm(exact):.1e}")
