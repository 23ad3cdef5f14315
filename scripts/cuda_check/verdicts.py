"""The targets that products have on an H200, and whether measured times meet them.

A measurement is a line of `time_products`, or one of `cuda_check.torch_times`. A verdict is "pass"
or "miss", "not measured", or on another device "other device": the values are told there too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

TARGET_DEVICE = "H200"
FIXED_US = 2.5
BYTES_PER_SECOND = 4.0e12
MAIN_FORMAT = "q4_k"
PART_OF_SPEED = 0.8  # which the other formats reach
PART_WITH_MANY_PLANES = 0.5  # and of these, with int16
MANY_PLANES = frozenset({"q2_k", "q3_k"})
MOST_QUANTISING_US = 1.5
TIMES_TORCH = 3.0
TORCH_SHAPE = "14336x4096"
INTEGERS = ("int8", "int16")
SHAPES = (
    "4096x4096",
    "14336x4096",
    "32000x4096",
    "128256x4096",
    "qkv_proj",
    "attention_out",
    "ffn_gate_up",
    "ffn_down",
    "lm_head",
)

Row = Mapping[str, Any]


def target_us(weight_bytes: int) -> float:
    """The microseconds that a product with these weights may take."""
    return FIXED_US + weight_bytes / BYTES_PER_SECOND * 1e6


def speed_wanted(fmt: str, act: str) -> float:
    """The part of the target's speed that a format is to reach."""
    if fmt == MAIN_FORMAT:
        return 1.0
    return PART_WITH_MANY_PLANES if fmt in MANY_PLANES and act == "int16" else PART_OF_SPEED


def _verdict(target: str, row: Row, value: float, limit: float, met: bool) -> dict[str, Any]:
    about = {key: row[key] for key in ("shape", "format", "layout", "act") if key in row}
    status = "pass" if met else "miss"
    return {"target": target, **about, "value": value, "limit": limit, "status": status}


def _of_products(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if "us" not in row:
            yield {"target": "speed", **row, "status": "not measured"}
            continue
        speed = target_us(row["bytes"]) / row["us"]
        wanted = speed_wanted(row["format"], row["act"])
        yield _verdict("speed", row, round(speed, 3), wanted, speed >= wanted)
        more = row["quantised_us"] - row["us"]
        met = more <= MOST_QUANTISING_US
        yield _verdict("quantising_us", row, round(more, 3), MOST_QUANTISING_US, met)


def _of_torch(rows: Iterable[Row]) -> Iterator[dict[str, Any]]:
    for row in rows:
        if row["shape"] == TORCH_SHAPE and row["format"] == MAIN_FORMAT:
            times = row["torch_bf16_us"] / row["us"]
            met = times >= TIMES_TORCH
            yield _verdict("times_torch_bf16", row, round(times, 2), TIMES_TORCH, met)


def _missing(verdicts: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """What has no measurement, of what the main format is to be measured at."""
    wanted = [("speed", shape, act) for shape in SHAPES for act in INTEGERS]
    wanted += [("times_torch_bf16", TORCH_SHAPE, act) for act in INTEGERS]
    found = {(v["target"], v["shape"], v["act"]) for v in verdicts if v["format"] == MAIN_FORMAT}
    for target, shape, act in wanted:
        if (target, shape, act) not in found:
            about = {"shape": shape, "format": MAIN_FORMAT, "act": act}
            yield {"target": target, **about, "status": "not measured"}


def judge(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """A verdict for each target that the measurements have something to say of.

    Products of a packed format's native blocks are measured too, and have no target.
    """
    packed = {r["format"] for r in rows if r.get("layout") == "packed"}
    products = [
        r
        for r in rows
        if r["what"] == "product" and (r["layout"] == "packed" or r["format"] not in packed)
    ]
    verdicts = [*_of_products(products), *_of_torch(r for r in rows if r["what"] == "torch")]
    verdicts += _missing(verdicts)
    device = next((r["name"] for r in rows if r["what"] == "device"), "")
    if TARGET_DEVICE not in device:
        for verdict in verdicts:
            if verdict["status"] in ("pass", "miss"):
                verdict["status"] = "other device"
    return verdicts


def summary(verdicts: Iterable[Row]) -> dict[str, dict[str, int]]:
    """How many verdicts of each target are of each kind."""
    counts: dict[str, Counter[str]] = {}
    for verdict in verdicts:
        counts.setdefault(verdict["target"], Counter())[verdict["status"]] += 1
    return {target: dict(count) for target, count in counts.items()}


def with_copy_rates(rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Products with the part of the device's copy and read rates at which weights were read."""
    rates = {r["what"]: r["bytes_per_second"] for r in rows if r["what"] in ("copy", "read")}
    done = []
    for row in rows:
        full = dict(row)
        if "us" in row and "bytes" in row and row["what"] in ("product", "torch"):
            speed = row["bytes"] / row["us"] * 1e6
            for what, rate in rates.items():
                full[f"of_{what}_rate"] = round(speed / rate, 3)
        done.append(full)
    return done
