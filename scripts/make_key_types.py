"""Write python/qkernels/key_types.py: the value types that GGUF's own keys have.

python scripts/make_key_types.py

They are those that the `gguf` package's writer gives them, read from its source: each of its
methods adds one key of one type. Text needs no entry, as it has one type only.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path

import gguf
from gguf.gguf_writer import GGUFWriter

OUT = Path(__file__).resolve().parent.parent / "python/qkernels/key_types.py"
ELEMENTS = {"int": "int32", "float": "float32", "str": "string", "bool": "bool"}
SCALARS = ("bool", "uint32", "int32", "float32", "uint64", "int64", "float64", "uint16")

HEAD = '''"""The value types of GGUF's own keys. Written by scripts/make_key_types.py; do not edit.

Keys of one architecture are without its name: "block_count" is "llama.block_count" and the like.
"""

from __future__ import annotations

'''


def key_of(node: ast.expr) -> str:
    """The key that an expression such as Keys.LLM.BLOCK_COUNT.format(arch=self.arch) is."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        node = node.func.value
    found: object = gguf.Keys
    for name in ast.unparse(node).split(".")[1:]:
        found = getattr(found, name)
    assert isinstance(found, str), found
    return found.removeprefix("{arch}.")


def element_of(annotation: str) -> str:
    """The type of an array's elements, as the writer's method is annotated."""
    if "bytes" in annotation and "str" not in annotation:
        return "uint8"
    for name, kind in ELEMENTS.items():
        if f"Sequence[{name}]" in annotation or f"list[{name}]" in annotation:
            return kind
    return "string"  # lists of names that are made from something else


def collect() -> tuple[dict[str, str], dict[str, str]]:
    """The types of single values, and those of arrays' elements."""
    scalars: dict[str, str] = {}
    arrays: dict[str, str] = {}
    (writer,) = ast.parse(inspect.getsource(GGUFWriter)).body
    for method in ast.walk(writer):
        if not isinstance(method, ast.FunctionDef) or not method.name.startswith("add_"):
            continue
        annotation = ast.unparse(method.args)
        for call in ast.walk(method):
            if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
                continue
            kind = call.func.attr.removeprefix("add_")
            if not call.args or not ast.unparse(call.args[0]).startswith("Keys."):
                continue
            if kind in SCALARS:
                scalars[key_of(call.args[0])] = kind
            elif kind == "array":
                arrays[key_of(call.args[0])] = element_of(annotation)
    for name, kind in (("SPLIT_NO", "uint16"), ("SPLIT_COUNT", "uint16")):
        scalars[getattr(gguf.Keys.Split, "LLM_KV_" + name)] = kind
    scalars[gguf.Keys.Split.LLM_KV_SPLIT_TENSORS_COUNT] = "int32"
    return scalars, arrays


def table(name: str, types: dict[str, str]) -> str:
    """A dictionary by type, which is shorter than by key."""
    lines = [f"{name} = {{"]
    for kind in sorted(set(types.values())):
        keys = sorted(key for key, of in types.items() if of == kind)
        lines.append(f'    "{kind}": frozenset(\n        (')
        lines += [f'            "{key}",' for key in keys]
        lines.append("        )\n    ),")
    return "\n".join([*lines, "}", ""])


if __name__ == "__main__":
    single, elements = collect()
    OUT.write_text(HEAD + table("SCALARS", single) + "\n" + table("ARRAYS", elements))
