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
# # Gates: which columns does a matrix need?
#
# Quantising spends fewer bits on every weight. One can also leave weights out. If some inputs of a
# matrix hardly matter to its output, their columns need not be read at all, and where memory is the
# limit, bytes that are not read are time that is not spent.
#
# Which ones? Give each block of 32 columns a *gate* between 0 and 1, so that `y(g) = sum_b g_b W_b
# x_b`. All gates at 1 are the matrix as it is. Now charge a price, lambda, for every gate that is
# open, and let gates fall as long as that is cheaper than the error it makes:
#
# ```text
# mean over samples of 0.5 ||y(g) - y(1)||^2  +  lambda * sum_b g_b
# ```
#
# In the end, blocks whose gates are under a threshold are dropped, and the others count in full.

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

import qkernels as qk
from qkernels._measure.machine import last_level_cache
from qkernels._measure.method import Candidate, Rotation, copies_needed, measure
from qkernels.models import find_model

# Colours that most colour-blind readers tell apart (Okabe and Ito).
BLUE, ORANGE, GREEN, GREY = "#0072b2", "#e69f00", "#009e73", "#777777"
plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})

# %% [markdown]
# ## Real activations
#
# Gates are as good as the inputs they are trained with. Random ones have no favourite columns, and
# real ones do, so we take them from the model: `capture` runs prompts and keeps what matrices are
# multiplied with. We look at the second matrix of every feed-forward layer, whose inputs are the
# activated hidden units.
#
# Some prompts are for training, and others, which training never sees, for judging.

# %%
TRAIN = [
    "The lighthouse keeper counted the ships that passed at night and wrote them down.",
    "To make a good soup, roast the bones first, then simmer them for hours with an onion.",
    "In the spring of 1848 there were revolutions in Paris, Vienna, Berlin and Milan.",
    "def fibonacci(n):\n    a, b = 0, 1\n    while a < n:\n        a, b = b, a + b\n    return a",
    "Dear Ms Lee, thank you for your letter. I am glad to hear that the parcel has arrived.",
    "Plants turn light, water and carbon dioxide into sugar, and give off oxygen as they do.",
    "He opened the door slowly. The room was empty but for a chair and a clock that had stopped.",
    "The price of copper rose by four percent after two mines in Chile had been closed.",
    "A prime number has exactly two divisors. There are infinitely many.",
    "Q: How far away is the moon? A: About 384,000 kilometres, or a second of light.",
    "The violins enter first, very softly, and only after eight bars does the oboe answer them.",
    "If the tests fail, read the first error, not the last one: others follow from it.",
]
JUDGE = [
    "Every Tuesday the old man walked to the market and bought three apples and a newspaper.",
    "The experiment was repeated with cold water, and this time the crystals took a day to grow.",
    "for line in open(path):\n    name, value = line.split('=')\n    print(name, value)",
    "Rome lies on the river Tiber, some thirty kilometres from the sea, on seven hills.",
]
file = qk.load_gguf(find_model())
BLOCK = 32
for_training = qk.gates.capture(find_model(), TRAIN, "blk.*.ffn_down.weight")
for_judging = qk.gates.capture(find_model(), JUDGE, "blk.*.ffn_down.weight")
NAMES = list(for_training)
tokens, k = for_training[NAMES[0]].shape
print(f"{len(NAMES)} layers, {k} hidden units: {k // BLOCK} blocks of {BLOCK}")
print(f"{tokens} tokens to train with, {len(for_judging[NAMES[0]])} to judge by")

# %% [markdown]
# ## Look at the data first
#
# The loss adds up squares, so a token with large outputs counts for more than one with small ones.
# How large are outputs? A dot is a token in a layer.

# %%
tokenizer = qk.llama.Tokenizer.from_metadata(file.metadata)
lengths = [len(tokenizer.encode(prompt)) for prompt in TRAIN]
first = np.zeros(tokens, bool)
first[np.cumsum([0, *lengths[:-1]])] = True

norms = {name: np.linalg.norm(qk.gemm(file[name], x), axis=1) for name, x in for_training.items()}
figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
for which, colour, label in ((~first, BLUE, "other tokens"), (first, ORANGE, "first of a prompt")):
    for layer, values in enumerate(norms.values()):
        at = np.full(which.sum(), layer)
        axes.plot(at, values[which], ".", ms=5, color=colour, label=label if layer == 0 else None)
axes.set(yscale="log", xlabel="layer", ylabel="norm of the output of ffn_down")
axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(0, 1.12), ncols=2)
plt.show()

# %%
ordinary = {name: values <= 5 * np.median(values) for name, values in norms.items()}
worst = max(norms, key=lambda name: norms[name].max() / np.median(norms[name]))
ratio = norms[worst].max() / np.median(norms[worst])
share = np.sum(norms[worst][~ordinary[worst]] ** 2) / np.sum(norms[worst] ** 2)
print(f"{worst}: the largest output has {ratio:.0f} times the norm of the median one")
print(f"{np.sum(~ordinary[worst])} of {tokens} tokens are over five times the median,", end=" ")
print(f"and have {share:.4%} of all squares")

# %% [markdown]
# Where a few tokens have nearly all of the squares, gates are trained for these tokens alone.
# Language models are known for that: the first token of a text, whatever it is, becomes a place
# where attention goes that is not needed elsewhere, and some layer gives it an enormous output. To
# see what it does to gates, we train them for every layer twice: with all tokens, and with ordinary
# ones, those whose outputs are at most five times the layer's median.
#
# ## A path for every layer
#
# `path` trains gates for many prices at once. A step does not read the weights: the error is a
# quadratic in the gates, whose matrix is computed once, and after that a step costs as much as a
# product with a matrix of blocks x blocks. Inputs are normalised, so a lambda means the same for
# every matrix: a block on its own is worth dropping if that adds less than `2 * lambda` to the
# squared relative error.

# %%
LIMIT = 0.2
prices = np.geomspace(0.02, 1.5, 16) * BLOCK / k
everyone, usual = [], []
for name in NAMES:
    x, keep = for_training[name], ordinary[name]
    everyone.append(100 * qk.gates.path(file[name], x, prices).at_most(LIMIT).sparsity)
    usual.append(100 * qk.gates.path(file[name], x[keep], prices).at_most(LIMIT).sparsity)

figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
layers = np.arange(len(NAMES))
axes.bar(layers - 0.2, everyone, 0.4, color=ORANGE, label="all tokens")
axes.bar(layers + 0.2, usual, 0.4, color=BLUE, label="ordinary tokens")
axes.set(xlabel="layer", ylabel="blocks to drop, %", ylim=(0, 120))
axes.set_title(f"What can go for a relative error of {LIMIT:.0%}, by which tokens count")
axes.legend(frameon=False, loc="upper center", ncols=2)
plt.show()
print(f"median of the layers: {np.median(everyone):.0f} % with all tokens,", end=" ")
print(f"{np.median(usual):.0f} % with ordinary ones")
print(f"the most: {max(everyone):.0f} % and {max(usual):.0f} %")

# %%
trap = qk.gates.path(file[worst], for_training[worst], prices).at_most(LIMIT)
x = for_training[worst][ordinary[worst]]
whole = qk.gemm(file[worst], x)
lost = qk.gemm(file[worst], np.where(trap.columns(), 0, x).astype(np.float32))
print(f"{worst}, trained with all tokens: {trap.active} of {trap.gates.size} blocks are kept")
print(f"error over all tokens: {trap.relative_error:.1%}", end="; ")
print(f"over ordinary ones: {np.linalg.norm(lost) / np.linalg.norm(whole):.0%}")

# %% [markdown]
# A tall orange bar beside a short blue one is a trap: gates that look excellent, because they keep
# what one kind of token needs, and lose what all the others would have had. From here on only
# ordinary tokens count, in the layer that has most to drop.

# %%
name = NAMES[int(np.argmax(usual))]
weights = file[name]
x = for_training[name][ordinary[name]]
unseen = for_judging[name]
limit = 5 * np.median(norms[name])
unseen = unseen[np.linalg.norm(qk.gemm(weights, unseen), axis=1) <= limit]
path = qk.gates.path(weights, x, np.geomspace(0.02, 1.5, 60) * BLOCK / k)
price = path[int(np.argmin([abs(result.sparsity - 0.25) for result in path]))].l1
found = qk.gates.train(weights, x, lr="auto", steps=50, l1=price)
print(name, found)
display(found.plot())

# %% [markdown]
# ## Sparsity against error
#
# That was one price. The whole trade is the path. Three questions keep us honest. Does it hold for
# text that training has not seen? Is training worth it: would dropping the blocks with the smallest
# inputs, or any blocks at all, do as well? And are blocks of 32 neighbours too coarse? The order of
# hidden units means nothing: put those that matter least next to each other, move the rows of
# `ffn_gate` and `ffn_up` along, and the model is the same. That is the last curve.

# %%
dense = np.asarray(weights.dequantize())
wanted = unseen @ dense.T
squares = np.mean(x**2, axis=0)
order = np.argsort(squares * np.sum(dense**2, axis=0))
sorted_path = qk.gates.path(dense[:, order], x[:, order], np.geomspace(1e-3, 1.5, 60) * BLOCK / k)


def error_of(mask: np.ndarray, columns: np.ndarray) -> float:
    """Relative error for unseen inputs without the blocks of columns that a mask drops."""
    lost = columns[~np.repeat(mask, BLOCK)[:k]]
    change = unseen[:, lost] @ dense[:, lost].T
    return float(np.linalg.norm(change) / np.linalg.norm(wanted))


def largest(values: np.ndarray, count: int) -> np.ndarray:
    """A mask of the `count` largest values."""
    return np.argsort(np.argsort(-values)) < count


neighbours = np.arange(k)
inputs = np.add.reduceat(squares, np.arange(0, k, BLOCK))
random = np.random.default_rng(0).random(len(inputs))
at = [100 * result.sparsity for result in path]
curves = {
    "any blocks": (at, [error_of(largest(random, r.active), neighbours) for r in path]),
    "smallest inputs": (at, [error_of(largest(inputs, r.active), neighbours) for r in path]),
    "trained gates": (at, [error_of(r.mask, neighbours) for r in path]),
    "trained gates, as seen in training": (at, [r.relative_error for r in path]),
    "trained gates, units sorted": (
        [100 * r.sparsity for r in sorted_path],
        [error_of(r.mask, order) for r in sorted_path],
    ),
}
styles = ((GREY, ":"), (ORANGE, "-"), (BLUE, "-"), (BLUE, "--"), (GREEN, "-"))
figure, axes = plt.subplots(figsize=(8, 4.8), layout="constrained")
for (label, (dropped, errors)), (colour, line) in zip(curves.items(), styles, strict=True):
    axes.plot(dropped, 100 * np.array(errors), line, marker=".", color=colour, label=label)
axes.set(xlabel="blocks dropped, %", ylabel="relative error of the product, %", ylim=(0, 105))
axes.set_title(f"{name}, text that training has not seen")
axes.legend(frameon=False)
plt.show()

# %%
by_inputs, by_training = (np.array(curves[w][1]) for w in ("smallest inputs", "trained gates"))
some = by_training > 0.01
ratio = np.median(by_inputs[some] / by_training[some])
print(
    f"dropping as many blocks by their inputs alone: {ratio:.2f} times the error of trained gates"
)
for level in (0.05, 0.1, 0.2, 0.4):
    least = {
        label: max((d for d, e in zip(*curve, strict=True) if e <= level), default=0)
        for label, curve in curves.items()
        if label in ("smallest inputs", "trained gates", "trained gates, units sorted")
    }
    print(f"error of {level:.0%}:", ", ".join(f"{d:.0f} % ({label})" for label, d in least.items()))

# %% [markdown]
# Mind the scale: quantising to 4 bits makes an error of a few percent (see the notebook on
# formats). What can be dropped at such a price, in the first line above, is all that comes as
# cheaply. If it is little, this matrix uses nearly all that it has, for one token or another.
#
# ## What it gains
#
# `weights.pack(gates=...)` copies only what is kept into the kernel's layout, and `qk.gated_gemv`
# multiplies by it. The result has the bits of the whole product with zeros in the dropped columns.

# %%
one = unseen[-1]
zeroed = np.where(found.columns(), one, 0).astype(np.float32)
same = qk.gated_gemv(weights.pack(gates=found), one) == qk.gemv(weights.pack(), zeroed)
print(weights.pack(gates=found))
print("the same bits:", bool(same.all()))

# %% [markdown]
# For the time, a matrix of the size that larger models have, with gates drawn at random, which are
# as good as any for that. Weights are cold: copies rotate over more than four times the cache.
# Beside it, gates applied to blocks as they lie in a file. There nothing is left out, as skipping
# scattered blocks of a stream is slower than reading them, so the time stays that of the whole
# product.

# %%
CACHE = min(last_level_cache(), 64 << 20)
N, K, WIDE = 2048, 4096, 256
rng = np.random.default_rng(0)
large = qk.quantize(rng.standard_normal((N, K), np.float32), "q4_0")
vector = rng.standard_normal(K).astype(np.float32)
shuffled = rng.permutation(K // WIDE)
kept_shares = (0.25, 0.5, 0.75, 1.0)

whole = large.pack()


def rotate(make, nbytes: int) -> Rotation:  # type: ignore[no-untyped-def, type-arg]
    """As many copies of weights as keep them cold."""
    return Rotation([make() for _ in range(copies_needed(nbytes, CACHE, cold=True))])


packed = {}
for share in kept_shares:
    mask = shuffled < share * len(shuffled)
    size = int(share * whole.nbytes)
    packed[share] = rotate(lambda m=mask: large.pack(gates=m, block_k=WIDE), size)
plain = rotate(large.pack, whole.nbytes)
as_in_file = rotate(lambda: qk.QTensor(large.data.copy(), "q4_0", (N, K)), large.nbytes)


def gated(copies: Rotation, **options):  # type: ignore[no-untyped-def, type-arg]
    """A call of the gated product with the next copy."""
    return lambda: qk.gated_gemv(copies.next(), vector, threads=1, **options)


candidates = [
    Candidate("whole, packed", lambda: qk.gemv(plain.next(), vector, threads=1)),
    Candidate("whole, blocks", lambda: qk.gemv(as_in_file.next(), vector, threads=1)),
]
for share in kept_shares:
    mask = shuffled < share * len(shuffled)
    candidates.append(Candidate(f"packed {share}", gated(packed[share])))
    candidates.append(Candidate(f"blocks {share}", gated(as_in_file, gates=mask, block_k=WIDE)))
timings = measure(candidates, rounds=11)

# %%
figure, axes = plt.subplots(figsize=(6.6, 4.2), layout="constrained")
at = 100 * np.array(kept_shares)
for kind, colour, marker in (("blocks", ORANGE, "s"), ("packed", BLUE, "o")):
    found = [timings[f"{kind} {share}"] for share in kept_shares]
    middle = np.array([timing.median for timing in found]) * 1e6
    low = np.array([timing.low for timing in found]) * 1e6
    high = np.array([timing.high for timing in found]) * 1e6
    axes.errorbar(
        at,
        middle,
        (middle - low, high - middle),
        color=colour,
        marker=marker,
        label=kind,
        capsize=2,
    )
    alone = timings[f"whole, {kind}"].median * 1e6
    axes.axhline(alone, color=colour, linewidth=1, linestyle=":", label=f"{kind}, without gates")
alone = timings["whole, packed"].median * 1e6
axes.plot([0, 100], [0, alone], color=GREY, linewidth=1, linestyle="--", label="in proportion")
axes.set(xlim=(0, 105), ylim=(0, 1.55 * axes.get_ylim()[1]))
axes.set(xlabel="blocks kept, %", ylabel="time of a product, µs")
axes.set_title(f"q4_0, {N} x {K}, one thread, cold weights")
axes.legend(frameon=False, loc="upper left", ncols=2, fontsize=8)
plt.show()

# %%
half, full = timings["packed 0.5"].median, timings["whole, packed"].median
print(f"packed, half of the blocks: {half / full:.2f} of the time of all")
half, full = timings["blocks 0.5"].median, timings["whole, blocks"].median
print(f"as in the file, half of the blocks: {half / full:.2f} of the time of all")

# %% [markdown]
# ## What to make of it
#
# The mechanics work: training takes a moment, and time follows the bytes that are kept. Whether a
# *model* can live without the blocks is another question. The curves above are for one matrix and
# one product, and errors of many layers add up. The fair test is to drop, to generate, and to
# measure perplexity.
#
# ## Something to change
#
# - `LIMIT`, and the matrices: `.ffn_gate.weight`, whose inputs are normalised hidden states, or
#   `.attn_output.weight`, whose inputs are heads.
# - Train with the first tokens alone (`first`), and look at which blocks are kept. Are they the
#   same in all prompts?
# - `row_group=64` in `path`: gates of their own for every 64 rows, which `pack` takes too.
# - Train with three prompts instead of twelve. What happens to the distance between the dashed
#   curve and the solid one?
