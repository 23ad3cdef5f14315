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
# # Bandwidth: the roof of this machine, and where each kernel stands
#
# To generate one token, a model reads all of its weights once and uses each of them for a single
# multiplication. Processors multiply far faster than memory delivers, so a perfect product takes as
# long as reading the bytes and doing nothing with them. That is the *roof*. Two questions follow
# for every kernel: how near does it come, and does it waste bytes?
#
# All times here are taken as `qkernels bench` takes them. Weights are cold: copies rotate over more
# than four times the cache, as a model's layers do. Ways to compute a product take turns, so that a
# machine that slows down slows all of them down. Numbers are medians, and bars show quartiles.

# %%
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.ticker import LogLocator, NullLocator

import qkernels as qk
from qkernels._measure.machine import last_level_cache
from qkernels.bench.report import Case, Row
from qkernels.bench.run import Plan, Task, run

# Colours that most colour-blind readers tell apart (Okabe and Ito).
BLUE, ORANGE = "#0072b2", "#e69f00"
plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})

N, K = 2048, 2048
ROUNDS = 7
# Cold copies fill four caches, twice (as blocks and packed): no more than a gigabyte in all.
CACHE = min(last_level_cache(), 128 << 20)
MACHINE = f"{qk.info()['cpu']}, {qk.info()['isa']}"
PROCESSORS = qk.info()["threads"]
print(f"{MACHINE}; {last_level_cache() >> 20} MiB of cache, {PROCESSORS} threads")
if last_level_cache() > CACHE:
    print(f"weights are cold for a cache of {CACHE >> 20} MiB only: some of them will be in yours")

# %% [markdown]
# ## The roof
#
# How fast does this machine read? There is no one way to read a matrix: in one stream or in
# several, with prefetching or without. The bench tries each of them and takes the fastest as the
# roof.

# %%
FORMATS = ("q2_k", "q4_0", "q4_k", "q5_k", "q6_k", "q8_0")
counts = (1, PROCESSORS) if PROCESSORS > 1 else (1,)
plan = Plan(threads=counts, rounds=ROUNDS, cache_bytes=CACHE)
report = run([Task(fmt, fmt, N, K) for fmt in FORMATS], plan, peers=[])

reads = {threads: [c for c in report.cases if c.threads == threads] for threads in counts}
for threads, cases in reads.items():
    largest = max(cases, key=lambda case: case.weight_bytes)
    print(f"{threads} thread(s), {largest.weight_bytes / 1e6:.1f} MB at a time:")
    for variant, timing in sorted(largest.roof.variants.items(), key=lambda v: v[1].median):
        print(f"  {variant:12} {largest.weight_bytes / timing.median / 1e9:6.1f} GB/s")
print(report.disturbance() or "nothing disturbed this run")

# %% [markdown]
# ## How near the kernels come
#
# The same bytes, now multiplied: `blocks` are weights as they lie in a file, `packed` is the layout
# that `QTensor.pack()` makes for this processor. Bars are the bytes a second that a kernel reads,
# so the roof is as high as they can get. What a bar lacks is time spent on something else than
# waiting for memory.

# %%


def speed(row: Row, seconds: float) -> float:
    """GB/s of the bytes that a kernel really reads."""
    return row.read_bytes / seconds / 1e9


def by_name(case: Case, packed: bool) -> Row:
    """Our own row, of packed weights or of blocks."""
    return next(row for row in case.rows if ("packed" in row.name) == packed)


figure, grid = plt.subplots(
    1,
    len(counts),
    figsize=(4.8 * len(counts), 4.2),
    layout="constrained",
    squeeze=False,
    sharey=True,
)
places = np.arange(len(FORMATS))
for axes, (threads, cases) in zip(grid[0], reads.items(), strict=True):
    for packed, shift, colour in ((False, -0.2, ORANGE), (True, 0.2, BLUE)):
        rows = [by_name(case, packed) for case in cases]
        middle = np.array([speed(row, row.timing.median) for row in rows])
        low = np.array([speed(row, row.timing.high) for row in rows])
        high = np.array([speed(row, row.timing.low) for row in rows])
        axes.bar(
            places + shift,
            middle,
            0.38,
            yerr=(middle - low, high - middle),
            color=colour,
            label="packed" if packed else "blocks",
            error_kw={"linewidth": 0.8},
        )
    roofs = [case.roof_gigabytes for case in cases]
    axes.hlines(roofs, places - 0.45, places + 0.45, color="black", label="roof: reading only")
    axes.set_xticks(places, FORMATS)
    axes.set_title(f"{threads} thread{'' if threads == 1 else 's'}")
grid[0][0].set_ylabel("GB/s of weights read")
grid[0][0].set_ylim(0, 1.25 * grid[0][0].get_ylim()[1])
grid[0][0].legend(frameon=False, ncols=3, loc="upper left", fontsize=8)
figure.suptitle(f"{N} x {K}, cold weights: {MACHINE}")
plt.show()

# %%
for threads, cases in reads.items():
    for packed in (False, True):
        shares = {case.fmt: by_name(case, packed).of_roof for case in cases}
        best, worst = max(shares, key=shares.__getitem__), min(shares, key=shares.__getitem__)
        print(f"{threads} thread(s), {'packed' if packed else 'blocks'}: from", end=" ")
        print(f"{shares[worst]:.0%} of the roof ({worst}) to {shares[best]:.0%} ({best})")
if PROCESSORS > 1:
    roofs = {threads: np.median([c.roof_gigabytes for c in reads[threads]]) for threads in counts}
    gain = roofs[PROCESSORS] / roofs[1]
    print(f"{PROCESSORS} threads read {gain:.2f} times as fast as one", end=": ")
    print("threads help" if gain > 1.1 else "one thread is enough for this memory")

# %% [markdown]
# ## Time is bytes
#
# GB/s is how well a kernel reads; a user wants to know how long a product takes. Near the roof that
# is a matter of bytes: fewer bits, less time. The line is what reading so many bytes would take. A
# kernel well above it is slowed down by its arithmetic, and would gain little from fewer bits.

# %%
figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
cases = reads[1]
sizes = np.array([by_name(case, False).read_bytes for case in cases]) * 8 / (N * K)
roof_speed = float(np.median([case.roof_gigabytes for case in cases]))
line = np.array([0, 1.1 * sizes.max()])
axes.plot(
    line,
    line * N * K / 8 / roof_speed / 1e3,
    color="black",
    linewidth=1,
    label=f"reading alone, {roof_speed:.1f} GB/s",
)
for packed, colour, marker in ((False, ORANGE, "o"), (True, BLUE, "s")):
    rows = [by_name(case, packed) for case in cases]
    bits = [row.read_bytes * 8 / (N * K) for row in rows]
    times = [row.timing.median * 1e6 for row in rows]
    axes.scatter(bits, times, 36, c=colour, marker=marker, label="packed" if packed else "blocks")
    if not packed:
        highest = {x: max(t for b, t in zip(bits, times, strict=True) if b == x) for x in bits}
        for x, y in highest.items():
            names = ", ".join(fmt for fmt, b in zip(FORMATS, bits, strict=True) if b == x)
            axes.annotate(names, (x, y), (0, 7), textcoords="offset points", ha="center")
axes.set(xlabel="bits read a weight", ylabel="time of a product, µs", xlim=(0, None))
axes.set_ylim(0, 1.15 * axes.get_ylim()[1])
axes.set_title(f"{N} x {K}, one thread, cold weights: {MACHINE}")
axes.legend(frameon=False, loc="upper left")
plt.show()

# %% [markdown]
# ## The roof line
#
# With one vector each weight is used once. With a batch of `m` it is used `m` times, and the same
# bytes feed `m` times as much arithmetic: the *intensity*, operations a byte, grows with `m`. The
# picture that puts both limits together is the roof line model. On the left the slope: speed is
# bandwidth times intensity. Somewhere to the right the arithmetic itself is the limit, and the
# curve levels off.

# %%
BATCHES = (1, 2, 4, 8, 16, 32, 64)
ROOF_LINE_FORMATS = ("q4_k", "q8_0")
batches = run(
    [Task(f"{fmt} {m}", fmt, N, K, m) for fmt in ROOF_LINE_FORMATS for m in BATCHES],
    Plan(rounds=ROUNDS, cache_bytes=CACHE),
    peers=[],
)

figure, axes = plt.subplots(figsize=(7.6, 4.8), layout="constrained")
rates_seen: list[float] = []
for fmt, marker in zip(ROOF_LINE_FORMATS, "os", strict=True):
    for packed, colour in ((False, ORANGE), (True, BLUE)):
        found = [(case, by_name(case, packed)) for case in batches.cases if case.fmt == fmt]
        operations = np.array([2.0 * N * K * case.m for case, _ in found])
        intensity = operations / np.array([row.read_bytes for _, row in found])
        rates = operations / np.array([row.timing.median for _, row in found]) / 1e9
        rates_seen += rates.tolist()
        label = f"{fmt}, {'packed' if packed else 'blocks'}"
        line_style = "-" if fmt == ROOF_LINE_FORMATS[0] else ":"
        axes.plot(
            intensity, rates, line_style, marker=marker, color=colour, markersize=5, label=label
        )
bandwidth = float(np.median([case.roof_gigabytes for case in batches.cases if case.m == 1]))
slowest, highest = min(rates_seen), max(rates_seen)
left, right = min(1.0, 0.5 * highest / bandwidth), 400.0
axes.plot([left, right], [bandwidth * left, bandwidth * right], color="black", linewidth=1)
axes.axhline(highest, color="black", linewidth=1, linestyle="--")
axes.annotate(
    f"   memory: {bandwidth:.1f} GB/s",
    (1.6 * highest / bandwidth, 1.6 * highest),
    fontsize=8,
)
axes.annotate(f"fastest seen: {highest:.3g}", (right, 1.06 * highest), fontsize=8, ha="right")
axes.set(xscale="log", yscale="log", xlim=(left, right), ylim=(slowest / 1.6, 2.5 * highest))
axes.set(xlabel="operations a byte of weights: two for each weight and vector")
axes.set_ylabel("10⁹ operations a second")
for axis in (axes.xaxis, axes.yaxis):
    axis.set_major_locator(LogLocator(10, subs=(1, 2, 5)))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_locator(NullLocator())
axes.set_title(f"Batches of {BATCHES[0]} to {BATCHES[-1]} vectors, one thread: {MACHINE}")
axes.legend(frameon=False, loc="lower right", fontsize=8)
plt.show()

# %%
for fmt in ROOF_LINE_FORMATS:
    packed_rows = {c.m: by_name(c, True) for c in batches.cases if c.fmt == fmt}
    alone = packed_rows[1].timing.median
    print(f"{fmt}, packed: {alone * 1e6:.0f} µs for one vector")
    for m, row in packed_rows.items():
        if m > 1:
            each = row.timing.median / m / alone
            print(f"  in a batch of {m:2}, a vector takes {each:.2f} of that")
    two = packed_rows[2].timing.median / alone
    if two < 1.3:
        print("  two take hardly longer than one, which waits for memory")
    elif two < 1.8:
        print("  the second is cheaper than the first, but its arithmetic shows")
    else:
        print("  two take as long as two products: there, arithmetic is the limit already")

# %% [markdown]
# A point on the slope waits for memory; one below it, for its arithmetic. Where a curve climbs
# along the slope, the next vector is almost free, since the weights have to come from memory
# anyway. Where it is flat, twice the batch takes twice the time. Prompts are read in batches, and
# servers answer several people at once, for what lies between.
#
# ## Something to change
#
# - `Plan(cold=False)`: weights that stay in the cache. What is the roof now, and which kernels were
#   waiting for memory?
# - `Plan(huge_pages=True)`: prefetchers stop at the end of a page, and pages of 2 MiB end less
#   often.
# - `Plan(acts=("int8", "int16"))`: half as much arithmetic for the same bytes. Which formats gain?
#   The rows' names begin with `qkernels int8` then, which `by_name` would have to know.
# - Put all of `qk.formats()` into `FORMATS`, or a matrix of your model's shape into `N, K`.
# - `qkernels bench formats` prints such a table with ggml, torch and onnxruntime beside it.
