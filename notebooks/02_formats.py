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
# # Formats: error against size
#
# A quantised weight is an integer times a scale, and in some formats plus a minimum: `weight =
# scale * integer + min`. Neighbours share the scale, so it costs little, and the integers have 2 to
# 8 bits. Formats differ in how many neighbours share, in whether there is a minimum, in how exactly
# scales are kept, and in whether integers are spaced evenly. What does each of these choices buy?
# We quantise the same floats to every format and look at what comes back.

# %%
import matplotlib.pyplot as plt
import numpy as np

import qkernels as qk
from qkernels.models import find_model

# Colours that most colour-blind readers tell apart (Okabe and Ito).
BLUE, ORANGE, GREEN, RED, PURPLE, GREY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#777777",
)
plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})

formats = [fmt for fmt in qk.formats() if qk.can_quantize(fmt) and fmt != "f32"]
print(len(formats), "formats:", ", ".join(formats))

# %% [markdown]
# ## Two matrices
#
# Gaussian weights are the textbook case, and nobody has rounded them before. The real ones are rows
# of a model's embedding, which is also its output matrix. A file holds no floats, though, but what
# somebody quantised: to that same format nothing is lost a second time, which says nothing about
# the format. Of its columns we take a multiple of 256, the largest block.

# %%
file = qk.load_gguf(find_model())
embedding = file["token_embd.weight"]
columns = embedding.shape[1] // 256 * 256
real = np.ascontiguousarray(qk.dequantize(embedding, rows=slice(0, 1024))[:, :columns])
gaussian = np.random.default_rng(0).standard_normal((1024, 512), np.float32)
print(f"the file keeps {embedding}: look past {embedding.fmt} below where weights are real")


# %% [markdown]
# ## Inside a format
#
# `raw_ints` takes quantised weights apart. Here are eight Gaussian weights in `q4_k`: the integers
# that they became, and the weights that integers, scale and minimum make again.

# %%
weights = qk.quantize(gaussian, "q4_k")
raw = weights.raw_ints(with_scales=True)
with np.printoptions(precision=2, suppress=True):
    print(weights)
    print("before  ", gaussian[0, :8])
    print("integers", raw.ints[0, :8])
    print(f"scale {raw.scales[0, 0]:.3f}, min {raw.mins[0, 0]:.3f}, for {raw.group} integers")
    print("after   ", raw.dequantize()[0, :8])

# %% [markdown]
# How often does each integer occur? A Gaussian has few large weights, so outer integers are rare,
# but for the outermost: scales are made for the largest weight of a block, which is mapped there.
# Formats with gaps between bars space their codes unevenly, dense where weights are.

# %%
quantised = {fmt: qk.quantize(gaussian, fmt) for fmt in formats}
with_integers = [fmt for fmt in formats if fmt not in ("f16", "bf16")]


def bits(fmt: str) -> float:
    """Of a weight, scales included."""
    return 8 * quantised[fmt].nbytes / quantised[fmt].size


with_integers.sort(key=bits)
figure, grid = plt.subplots(3, 6, figsize=(11, 5), layout="constrained")
for axes, fmt in zip(grid.flat, with_integers, strict=False):
    codes, counts = np.unique(quantised[fmt].raw_ints(), return_counts=True)
    apart = 0.9 if len(codes) <= 32 else 1.0
    axes.bar(
        codes,
        100 * counts / counts.sum(),
        apart * np.diff(codes).min(),
        color=BLUE,
        edgecolor=BLUE if apart == 1 else "none",
        linewidth=0.3,
    )
    axes.set_title(f"{fmt}: {len(codes)} integers", fontsize=9)
    axes.tick_params(labelsize=7)
for axes in list(grid.flat)[len(with_integers) :]:
    axes.set_axis_off()
figure.supxlabel("integer")
figure.supylabel("share of the weights, %")
figure.suptitle("What Gaussian weights become, from the smallest format to the largest")
plt.show()

# %% [markdown]
# ## The errors of each format
#
# Next, what is lost. Each panel reaches to four times the format's own root-mean-square error (rms,
# in percent of the weights'), and the grey curve is a Gaussian of that size. Rounding to even steps
# gives a flat top, since any error within half a step is equally likely; steps of many sizes, one a
# scale, add up to something rounder. A spike at zero is the weight that a block's scale was made
# for. Wide skirts, as those of `mxfp4`, are weights where codes lie far apart.


# %%
def relative(found: np.ndarray, wanted: np.ndarray) -> float:
    """norm(found - wanted) / norm(wanted)."""
    return float(np.linalg.norm(found - wanted) / np.linalg.norm(wanted))


by_size = sorted(formats, key=bits)
figure, grid = plt.subplots(4, 5, figsize=(11, 6.6), layout="constrained", sharex=True)
edges = np.linspace(-4, 4, 65)
bell = np.exp(-(edges**2) / 2) / np.sqrt(2 * np.pi)
for axes, fmt in zip(grid.flat, by_size, strict=False):
    error = (quantised[fmt].dequantize() - gaussian).ravel()
    rms = float(np.sqrt(np.mean(error**2)))
    axes.hist(error / rms, edges, density=True, color=ORANGE)
    axes.plot(edges, bell, color=GREY, linewidth=1)
    axes.set_title(f"{fmt}, {bits(fmt):.3g} bits: rms {100 * rms:.2g} %", fontsize=9)
    axes.set_yticks([])
for axes in list(grid.flat)[len(by_size) :]:
    axes.set_axis_off()
figure.supxlabel("error of a weight, in units of the format's rms error")
figure.supylabel("how likely")
plt.show()

# %% [markdown]
# ## Error against size
#
# One point a format, scales and minima counted. There is a law to compare with: whatever code one
# invents, Gaussian weights at `b` bits each keep a relative error of `2^-b` at least (the
# rate-distortion bound), half as much for every bit more: a straight line where errors are drawn in
# powers of ten. The steps join the formats that no other one beats in both size and error.

# %%
KINDS = {
    "blocks of 32": (BLUE, "o", ("q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "q8_1")),
    "superblocks of 256": (
        RED,
        "s",
        ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k", "q8_k", "q8_ks"),
    ),
    "uneven codes": (GREEN, "^", ("iq4_nl", "iq4_xs", "mxfp4")),
    "three values": (PURPLE, "D", ("tq1_0", "tq2_0")),
}
# Where names stand, in points of type from their points.
PLACES = {
    "iq4_xs": (-44, -14),
    "iq4_nl": (-40, -28),
    "q4_k": (12, -13),
    "q5_k": (-30, -4),
    "tq1_0": (-8, 7),
    "tq2_0": (-2, 7),
    "q8_0": (-26, -8),
    "q8_1": (-22, 4),
}

of_weights = {fmt: relative(quantised[fmt].dequantize(), gaussian) for fmt in formats}
front: list[str] = []
for fmt in sorted(formats, key=lambda name: (bits(name), of_weights[name])):
    if not front or of_weights[fmt] < of_weights[front[-1]]:
        front.append(fmt)

figure, axes = plt.subplots(figsize=(8.4, 5.4), layout="constrained")
for kind, (colour, marker, members) in KINDS.items():
    at = [bits(fmt) for fmt in members], [of_weights[fmt] for fmt in members]
    axes.scatter(*at, c=colour, marker=marker, s=30, label=kind, zorder=3)
    for fmt, x, y in zip(members, *at, strict=True):
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.6} if fmt in PLACES else None
        place = PLACES.get(fmt, (6, 3))
        axes.annotate(fmt, (x, y), place, textcoords="offset points", fontsize=8, arrowprops=line)
axes.step(
    [bits(fmt) for fmt in front],
    [of_weights[fmt] for fmt in front],
    where="post",
    color=GREY,
    lw=0.8,
)
size = np.array([1.4, 10])
axes.plot(size, 2.0**-size, color="black", linewidth=1, linestyle="--", label="the least possible")
axes.set(yscale="log", ylabel="relative error of the weights", ylim=(9e-4, 1.2))
axes.set(xlabel="bits a weight", xlim=(1.4, 10), title="Gaussian weights")
axes.legend(frameon=False)
plt.show()

# %%
print("beaten by no other:", ", ".join(front), end="\n\n")
for family in (
    ("q4_0", "q5_0", "q8_0"),
    ("q4_1", "q5_1"),
    ("q2_k", "q3_k", "q4_k", "q5_k", "q6_k"),
):
    wasted = [of_weights[fmt] * 2 ** bits(fmt) for fmt in family]
    print(f"{', '.join(family)}: {min(wasted):.2f} to {max(wasted):.2f} times the least possible")
for fmt in ("f16", "bf16"):
    print(f"{fmt} (16 bits, off the picture): error {of_weights[fmt]:.1e}")

# %% [markdown]
# A family of formats runs along the dashed line: integers with more bits move it down and to the
# right, and how far it stays away is a matter of its construction. Searching for the scales, as
# K-quants do, is worth a good part of a bit. The line itself is out of reach: it is for thousands
# of weights coded together, which nothing can be that has to be decoded in nanoseconds.
#
# ## What counts is the product
#
# Nobody looks at weights; outputs are what a model hears. So: real weights, and the real inputs
# that they meet, which `qk.gates.capture` takes from the running model. Real inputs are far from
# alike: a few columns are much larger than the others, and errors of the weights there count for
# more. An *importance matrix*, the mean square of every column's inputs, tells the quantiser so.
#
# It is learnt from some sentences and judged with others.

# %%
LEARN = [
    "The oldest library in the city keeps its maps in a cellar that floods every spring.",
    "To bake bread you need flour, water, salt and yeast, and above all some patience.",
    "In 1969 two people walked on the moon while a third one circled it, alone.",
    "def mean(values):\n    return sum(values) / len(values)",
    "She asked whether the train had left. It had, he said, but there was another at nine.",
    "Copper conducts heat better than iron, which is why good pans have a copper bottom.",
]
JUDGE = [
    "A lighthouse is painted in stripes so that sailors know by day which one they see.",
    "If a triangle has a right angle, the squares of its shorter sides add up to the third.",
    "The committee will meet again on Thursday, unless the members agree on a date by mail.",
]
name = "token_embd.weight"
learn = qk.gates.capture(find_model(), LEARN, name)[name][:, :columns]
judge = qk.gates.capture(find_model(), JUDGE, name)[name][:, :columns]
importance = np.mean(learn**2, axis=0)
large = np.sort(importance)[::-1].cumsum() / importance.sum()
print(f"{len(learn)} inputs to learn from, {len(judge)} to judge by")
print(f"half of all squares are in {int(np.searchsorted(large, 0.5)) + 1} of {columns} columns")

# %%
exact = judge @ real.T
sizes = [fmt for fmt in by_size if bits(fmt) < 10 and fmt != embedding.fmt]
plain, informed = {}, {}
for fmt in sizes:
    plain[fmt] = relative(judge @ qk.quantize(real, fmt).dequantize().T, exact)
    heard = importance if qk.can_quantize(fmt, imatrix=True) else None
    better = qk.quantize(real, fmt, imatrix=heard)
    informed[fmt] = relative(judge @ better.dequantize().T, exact)
# Blocks of the same integers as the file's lose nothing either, and have no place on this scale.
sizes = [fmt for fmt in sizes if plain[fmt] > 1e-6]

# %%
figure, axes = plt.subplots(figsize=(8, 5), layout="constrained")
rows = np.arange(len(sizes))
axes.hlines(rows, [informed[f] for f in sizes], [plain[f] for f in sizes], color=GREY, zorder=1)
axes.scatter([plain[f] for f in sizes], rows, 70, color=ORANGE, label="weights alone")
at = [informed[f] for f in sizes]
axes.scatter(at, rows, 24, color=BLUE, marker="s", label="with importance")
axes.set_yticks(rows, [f"{fmt}  {bits(fmt):.3g} bits" for fmt in sizes])
axes.invert_yaxis()
axes.set(xscale="log", xlabel="relative error of the product, for inputs not learnt from")
axes.set_title("What an importance matrix does for the product")
axes.grid(axis="x", which="both", linewidth=0.3)
axes.legend(frameon=False)
plt.show()

# %%
gains = {fmt: plain[fmt] / informed[fmt] for fmt in sizes}
helped = sorted((fmt for fmt in sizes if gains[fmt] > 1.02), key=gains.__getitem__, reverse=True)
print(f"importance lowers the error of {len(helped)} of {len(sizes)} formats by over 2 %")
for fmt in helped[:3]:
    print(f"  {fmt}: {plain[fmt]:.3f} to {informed[fmt]:.3f}, {gains[fmt]:.2f}x less")
same = [fmt for fmt in sizes if abs(gains[fmt] - 1) < 1e-6]
print("formats that have nothing to choose, and stay as they were:", ", ".join(same))

# %% [markdown]
# The quantiser has a choice wherever it searches for a scale: it may serve one weight of a block
# better at another one's cost. Knowing which weights matter, it spends the same bits where they are
# heard, and no reader of the file has to know.
#
# One caution: these are errors of one product, with the first rows of one matrix. Whether a model
# still speaks well is another question, which `qkernels perplexity` answers.
#
# ## Something to change
#
# - Draw `gaussian` from `rng.laplace` or `rng.standard_t(3)` instead, with their long tails. Which
#   formats move away from the dashed line, and which hold?
# - Multiply one column of `gaussian` by 20. Superblocks have scales for 16 or 32 weights inside
#   their 256: does that show?
# - Take `importance` from prompts in another language, or from `np.ones(columns)`. How much of the
#   gain is left?
# - Quantise the whole file with `qkernels quantize`, and compare `qkernels perplexity` before and
#   after.
