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
# # Streaming and prefetch
#
# The kernels of the library mix many things: formats, scales, batches. To find out how weights
# should lie in memory, take all of that away. What is left is int8 times int8, summed in int32, by
# kernels that are a page each: `qkernels.stream`. They compute the same sums to the last bit and
# differ in two things only, the layout of the weights and how far ahead they ask for memory.
# Whatever difference in time there is, is due to these.

# %%
# %matplotlib inline
import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display

import qkernels as qk
from qkernels import stream
from qkernels._measure.machine import last_level_cache
from qkernels.stream.measure import random_problem
from qkernels.stream.plot import draw
from qkernels.stream.sweep import Point, sweep

# Colours that most colour-blind readers tell apart (Okabe and Ito).
COLOURS = ("#777777", "#0072b2", "#e69f00", "#009e73", "#d55e00")
plt.rcParams.update({"font.size": 9, "axes.spines.top": False, "axes.spines.right": False})

print(f"{qk.info()['cpu']}, {qk.info()['isa']}, {last_level_cache() >> 20} MiB of cache")

# %% [markdown]
# ## Layouts
#
# `scalar` and `dotprod` read a row after the other. `dotprod4` goes through four rows at once, so
# that each piece of x is loaded once for all four; they lie one behind the other, and the kernel
# reads four streams. `dotprod4i` has the four interleaved, 16 bytes of each in turn: one stream
# again. `dotprod16i` interleaves sixteen, 4 bytes of each, which is how the library packs for
# AVX-512: every lane of a vector belongs to a row, and nothing is ever added across lanes.

# %%
w = np.arange(8 * 32, dtype=np.int16).reshape(8, 32).astype(np.int8)
for pack in (stream.pack4, stream.pack4i, stream.pack16i):
    packed = pack(w)
    print(f"{pack.__name__:8} {packed.layout!s:36} (groups, pieces, rows, bytes) =", end=" ")
    print(packed.data.shape)
assert np.array_equal(stream.unpack4i(stream.pack4i(w)), w)

# %% [markdown]
# First of all, are they right? Sums of int8 products are integers, so there is nothing to round,
# and "nearly equal" would be wrong.

# %%
problem = random_problem(1024, 1024)
exact = problem.w.astype(np.int64) @ problem.x
for kernel in stream.KERNELS:
    y = stream.gemv_i8(problem.w, problem.x, kernel, prefetch=2)
    print(f"{kernel:10} {np.count_nonzero(y != exact)} of {len(y)} sums differ from NumPy's")

# %% [markdown]
# ## The sweep
#
# Prefetching is a hint: "I shall read this address soon". Given too late, the data is not there in
# time; too early, it may have been thrown out again; and hardware guesses by itself what a program
# will read, most easily where it reads in order. How far ahead is best cannot be derived, only
# tried: every kernel at every distance, with weights from memory (cold) and from the cache (warm).
# Turns alternate, and each number is a median.

# %%
# Cold copies fill four caches: no more than half a gigabyte here.
CACHE = min(last_level_cache(), 128 << 20)
found = sweep(problem, distances=(0, 2, 4, 8, 16, 32, 64, 128, 256), rounds=7, cache_bytes=CACHE)
assert found.mismatches == 0
display(draw(found))

# %%
for temperature, grid in found.grids.items():
    print(f"{temperature}: {grid.verdict()}")

# %% [markdown]
# A heat map shows the landscape, but is a hill higher than the noise? Here is the upper map again
# as lines, with bands between the quartiles. Where bands overlap, the run cannot tell kernels
# apart, and nor should we.

# %%
cold = found.grids["cold"]
distances = sorted({point.prefetch for point in cold.timings})
places = np.arange(len(distances))
figure, axes = plt.subplots(figsize=(8, 4.4), layout="constrained")
for kernel, colour, marker in zip(stream.KERNELS, COLOURS, "xosD^", strict=True):
    timings = [cold.timings[Point(kernel, distance)] for distance in distances]
    size = cold.read_bytes[kernel] / 1e9
    middle, low, high = (
        [size / getattr(timing, quartile) for timing in timings]
        for quartile in ("median", "high", "low")
    )
    axes.plot(places, middle, color=colour, marker=marker, markersize=4, label=kernel)
    axes.fill_between(places, low, high, color=colour, alpha=0.2, linewidth=0)
axes.axhline(cold.roof, color="black", linestyle="--", linewidth=1, label="reading alone")
axes.set_xticks(places, [str(distance) for distance in distances])
axes.set(xlabel="prefetch distance, in blocks of 16 bytes (0: none)", ylabel="GB/s of weights")
axes.set(ylim=(0, None), title=f"Weights from memory, {found.n} x {found.k}, one thread")
figure.legend(loc="outside right center", frameon=False)
plt.show()

# %% [markdown]
# What does prefetching gain each of them, at the distance that suits it best? And what does that
# distance mean in time? A kernel that reads `s` bytes a second asks `16 * distance / s` seconds
# before it needs the data. Memory takes some 100 ns to answer on most machines, and to keep it busy
# several requests have to be on their way at once.

# %%
for temperature, grid in found.grids.items():
    print(temperature)
    for kernel in stream.KERNELS:
        best = min(distances, key=lambda distance: grid.timings[Point(kernel, distance)].median)
        point, plain = Point(kernel, best), Point(kernel, 0)
        gain = grid.timings[plain].median / grid.timings[point].median
        clear = grid.timings[point].high < grid.timings[plain].low
        text = f"  {kernel:10} {grid.gigabytes(point):6.1f} GB/s"
        if best == 0 or not clear:
            print(text + ", and prefetching makes no clear difference")
        else:
            ahead = 16 * best / grid.gigabytes(point)
            print(f"{text} at distance {best} ({ahead:.0f} ns ahead), {gain:.2f}x without")

# %%
for temperature, grid in found.grids.items():
    apart, together = (
        grid.timings[Point(kernel, 0)].median for kernel in ("dotprod4", "dotprod4i")
    )
    print(
        f"{temperature}: interleaving four rows makes them {apart / together:.2f}x as fast", end=" "
    )
    print("as reading four streams, neither with prefetching")
if cold.best.kernel == "scalar":
    print("On this machine no kernel beats the compiler's plain loop.")
slow, fast = (found.grids[t].gigabytes(found.grids[t].best) for t in ("cold", "warm"))
print(f"The best kernel reads {slow:.1f} GB/s from memory and {fast:.1f} from the cache.")
if fast > 1.2 * slow:
    print(
        "So cold products wait for memory, and no layout can gain more than reading alone leaves:"
    )
    share = slow / cold.roof
    reached = f"{share:.0%} of its speed" if share < 1 else "all of its speed, within the noise"
    print(f"the best one reaches {reached}.")
else:
    print("So these kernels are limited by their arithmetic, and memory is not what they wait for.")
if found.steal is not None and found.steal > 0.02:
    print(f"The host took away {found.steal:.0%} of the processors' time: run it again.")

# %% [markdown]
# The same from a shell, with a file of int8 weights (`qkernels extract` writes one) or random ones:
#
# ```sh
# qkernels stream --kernel dotprod4i --n 1024 --k 1024 --prefetch 32 --check
# qkernels stream --sweep --n 1024 --k 1024 --plot sweep.png
# ```
#
# ## Something to change
#
# - A matrix of 64 x 16384, or of 16384 x 64. Long rows are long streams; with short ones, what four
#   rows share is soon over.
# - `QKERNELS_ISA=avx2` in the environment, before the kernel starts (`qk.isas()` lists what runs
#   here). Are the cold columns any different?
# - `rounds=31`, and nothing else running. Do the verdicts stay?
# - Real weights: `qk.load_gguf(...)["token_embd.weight"][:1024].raw_ints()`. Should it matter?
