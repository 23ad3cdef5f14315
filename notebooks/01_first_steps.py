# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # First steps
#
# A language model is a few hundred matrices, and generating one token multiplies one vector by each
# of them. In a GGUF file these matrices are *quantised*: blocks of 32 or 256 weights share a scale
# and keep 2 to 8 bits each. qkernels multiplies by the blocks as they lie in the file.
#
# This notebook opens a real model, multiplies by one of its matrices, checks the result against
# float64, times it, and in the end lets the model speak.

# %%
import time

import gguf
import numpy as np

import qkernels as qk
from qkernels.models import find_model

print(f"{qk.info()['cpu']}: kernels for {qk.info()['isa']}, on {qk.info()['threads']} threads")

# %% [markdown]
# ## A file
#
# The model is SmolLM2-135M, which `find_model` fetches once (98 MB); the environment variable
# `QKERNELS_MODEL` names another one. Opening maps the file and checks its head. Nothing is read
# that nobody asks for: the tokens of the vocabulary become Python strings only when we look at
# them.

# %%
path = find_model()
begin = time.perf_counter()
file = qk.load_gguf(path)
took = time.perf_counter() - begin
print(file)
print(f"opened in {took * 1e3:.2f} ms, {path.stat().st_size / 1e6:.0f} MB")
layers = file.metadata[f"{file.metadata['general.architecture']}.block_count"]
print(f"{len(file)} tensors in {layers} layers")

# %%
weights = file["blk.0.ffn_gate.weight"]
assert isinstance(weights, qk.QTensor)
print(weights, f"{weights.compression_ratio:.1f}x smaller than float32")

# %% [markdown]
# ## A product
#
# There are three ways for x to enter a product: in 16 bits (the default), as it is, or in 8 bits as
# ggml does it. How exact are they? The reference is float64, with the weights decoded by the `gguf`
# package, which has none of our code in it.

# %%
n, k = weights.shape
x = np.random.default_rng(0).standard_normal(k).astype(np.float32)
kind = gguf.GGMLQuantizationType[weights.format_name]
blocks = np.asarray(weights.data)
dense = gguf.quants.dequantize(blocks, kind)
exact = dense.astype(np.float64) @ x

errors = {}
for act in ("int16", "float32", "int8"):
    y = qk.gemv(weights, x, act=act)
    errors[act] = float(np.linalg.norm(y - exact) / np.linalg.norm(exact))
    print(f"{act:8} relative error {errors[act]:.1e}")
assert errors["int16"] < 1e-4

# %% [markdown]
# 16 bits per value leave an error far below the one that quantising the *weights* has made: some
# percent at 4 bits, as the next notebook shows.
#
# The result does not depend on how the work is split, not even in its last bit: a row's arithmetic
# knows nothing of its neighbours, nor of threads.

# %%
alone = qk.gemv(weights, x, threads=1)
together = qk.gemv(weights, x, threads=4)
part = qk.gemv(weights[100:200], x)
print("same bits:", np.array_equal(alone, together) and np.array_equal(alone[100:200], part))

# %% [markdown]
# ## How long it takes
#
# Decoding first costs more than the product itself, every time. `pack()` copies the weights once
# into the layout that this processor's kernels read fastest.


# %%
def microseconds(call, repeats: int = 200) -> float:  # type: ignore[no-untyped-def]
    """Median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return float(np.median(times)) * 1e6


packed = weights.pack()
ways = {
    "gguf's decoding, then NumPy": lambda: gguf.quants.dequantize(blocks, kind) @ x,
    "NumPy, decoded once and kept": lambda: dense @ x,
    "qk.gemv": lambda: qk.gemv(weights, x),
    "qk.gemv, packed": lambda: qk.gemv(packed, x),
}
size = dict.fromkeys(ways, weights.nbytes)
size["NumPy, decoded once and kept"] = dense.nbytes
times = {name: microseconds(call, 20 if "gguf" in name else 200) for name, call in ways.items()}
for name, microsecond in times.items():
    print(f"{name:30} {microsecond:9.1f} µs   {size[name] / 1e6:.1f} MB of weights")

# %% [markdown]
# These weights are in the cache by now, so this is the arithmetic, and the comparison is the
# kindest one there is for the dense matrix. In a model they come from memory, where bytes decide;
# the notebook on bandwidth measures that.
#
# ## A sentence
#
# Now all matrices, in order, with attention between them: a model. `generate` gives pieces of text
# as they come. The likeliest token is taken each time, so the answer is always the same.

# %%
with qk.llama.Model(path) as model:
    prompt = "The capital of France is"
    print(prompt, end="")
    for piece in model.generate(prompt, stop=["\n"]):
        print(piece, end="", flush=True)
    prompt = "Once upon a time there was"
    print("\n" + prompt, "".join(model.generate(prompt, max_tokens=60)), sep="")
    rate = model.stats.tokens_per_second
    print(f"\n{model.stats.tokens} tokens, {rate:.0f} a second")

# %%
with qk.llama.Model(path) as model:
    question = [{"role": "user", "content": "Write one sentence about the sea."}]
    print("".join(model.chat(question, max_tokens=60)))

# %% [markdown]
# What limits that speed? For one token nearly all matrices are read once, so tokens a second times
# the bytes of the weights is how fast they must come from memory or cache.

# %%
read = sum(tensor.nbytes for tensor in file.values())
print(f"{read / 1e6:.0f} MB a token x {rate:.0f} tokens/s = {read * rate / 1e9:.1f} GB/s")

# %% [markdown]
# Compare with the roof of your machine in the notebook on bandwidth.
#
# ## Something to change
#
# Give x one outlier of 1000 and look at the errors again, as below: which of the three suffers, and
# why does `int16` hold? (Scales are per 32 values: an outlier costs its 31 neighbours precision,
# nobody else.) Then try `weights @ x`, `weights[:10]`, `qk.get_rows(file["token_embd.weight"], [1,
# 2])`, and `model.generate(prompt, temperature=1.0)`.

# %%
x[7] = 1000
exact = dense.astype(np.float64) @ x
for act in errors:
    y = qk.gemv(weights, x, act=act)
    print(f"{act:8} relative error {np.linalg.norm(y - exact) / np.linalg.norm(exact):.1e}")
