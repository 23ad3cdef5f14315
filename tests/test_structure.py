"""The structure of src/: includes point one way, kernel objects keep their code to themselves."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest

import check_includes
import check_isa_symbols

if TYPE_CHECKING:
    from pathlib import Path

needs_compiler = pytest.mark.skipif(
    not check_isa_symbols.can_compile() or shutil.which("nm") is None,
    reason="no C++ compiler, cmake and nm in the PATH",
)


def _tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def test_includes_point_one_way() -> None:
    assert check_includes.violations() == []


def test_every_directory_of_the_sources_has_a_rule() -> None:
    directories = {path.name for path in check_includes.SOURCE.iterdir() if path.is_dir()}
    assert directories <= set(check_includes.RULES)


def test_no_include_is_allowed_that_there_is_none_of() -> None:
    assert check_includes.unused() == []


@pytest.mark.parametrize(
    ("file", "target"),
    [
        ("core/a.h", "formats/q4_0.h"),
        ("formats/a.h", "isa/avx2.h"),
        ("isa/a.h", "formats/all.h"),
        ("isa/a.h", "kernels/table.h"),
        ("kernels/a.h", "dispatch/dispatch.h"),
        ("dispatch/a.cpp", "kernels/linear.h"),
        ("dispatch/a.cpp", "ops/linear.h"),
        ("ops/a.cpp", "isa/avx2.h"),
        ("ops/a.cpp", "kernels/linear.h"),
        ("ops/a.cpp", "llama/model.h"),
        ("gguf/a.cpp", "ops/linear.h"),
        ("quantize/a.cpp", "ops/shapes.h"),
        ("quantize/a.cpp", "dispatch/dispatch.h"),
        ("stream/a.h", "kernels/table.h"),
        ("ops/a.cpp", "dispatch/dispatch.h"),
        ("ops/a.cpp", "quantize/quantizer.h"),
        ("ops/a.cpp", "stream/kernels.h"),
        ("cuda/a.cpp", "kernels/table.h"),
        ("llama/a.cpp", "bind/bind.h"),
    ],
)
def test_an_include_against_the_direction_is_found(tmp_path: Path, file: str, target: str) -> None:
    _tree(tmp_path, {file: f'#pragma once\n#include "{target}"\n', target: "#pragma once\n"})
    directory = file.split("/")[0]
    assert check_includes.violations(tmp_path) == [
        f"{file}:2: {directory} must not include {target}"
    ]


def test_an_include_in_angle_brackets_is_no_way_around(tmp_path: Path) -> None:
    _tree(tmp_path, {"core/a.h": "#include <ops/b.h>\n", "ops/b.h": ""})
    problems = check_includes.violations(tmp_path)
    assert "core/a.h:1: <ops/b.h> is a project file; it goes in quotes" in problems
    assert "core/a.h:1: core must not include ops/b.h" in problems


def test_an_include_of_a_missing_file_is_found(tmp_path: Path) -> None:
    _tree(tmp_path, {"core/a.h": '#include "b.h"\n', "core/b.h": ""})
    assert 'core/a.h:1: "b.h" is no file of src/' in check_includes.violations(tmp_path)


def test_a_macro_include_outside_the_kernels_is_found(tmp_path: Path) -> None:
    text = "#include QK_ISA_HEADER\n"
    _tree(tmp_path, {"ops/a.h": text, "kernels/a.h": text})
    (problem,) = check_includes.violations(tmp_path)
    assert problem.startswith("ops/a.h:1:")


def test_a_circle_of_includes_is_found(tmp_path: Path) -> None:
    _tree(
        tmp_path,
        {
            "core/a.h": '#include "core/b.h"\n',
            "core/b.h": '#include "core/c.h"\n',
            "core/c.h": '#include "core/a.h"\n',
        },
    )
    assert check_includes.violations(tmp_path) == [
        "a circle of includes: core/a.h -> core/b.h -> core/c.h -> core/a.h"
    ]


def test_an_unknown_directory_is_found(tmp_path: Path) -> None:
    _tree(tmp_path, {"core/a.h": "", "extras/b.h": '#include "core/a.h"\n'})
    assert check_includes.violations(tmp_path) == ["extras/b.h:1: the directory extras has no rule"]


@needs_compiler
@pytest.mark.slow
def test_kernel_objects_define_their_table_and_nothing_else(tmp_path: Path) -> None:
    # Of the other ISAs, which take a minute to compile, .ci/run looks at the objects of its build.
    commands = check_isa_symbols.kernel_commands()
    for command in (c for (isa, _), c in commands.items() if isa == "scalar"):
        made = check_isa_symbols.compile_object(command, tmp_path)
        assert check_isa_symbols.violations(made) == []


_PLANTED = {
    "an inline function": (
        "namespace qk { inline int planted(int x) { return x + 1; }\n"
        "__attribute__((used)) static int (*const kPlanted)(int) = &planted; }\n",
        "planted",
    ),
    "a vector": (
        "#include <vector>\nnamespace qk { __attribute__((used)) static int planted(int n) {\n"
        "  std::vector<int> v(7); v.resize(n); return v[0]; } }\n",
        "_Zn",
    ),
    "a function that others can call": ("int planted(int x) { return x + 1; }\n", "planted"),
    "a library function": (
        "#include <cmath>\n__attribute__((used)) static float planted(float x) {\n"
        "  return std::pow(x, 0.3f); }\n",
        "powf",
    ),
}


def _compile(source: Path, out: Path) -> Path:
    """A source as if it were one of scalar's kernels."""
    command = check_isa_symbols.kernel_commands()["scalar", "kernels/table.cpp"]
    return check_isa_symbols.compile_object(command, out, source=source)


@needs_compiler
@pytest.mark.parametrize("kind", _PLANTED)
def test_a_planted_symbol_is_found(tmp_path: Path, kind: str) -> None:
    text, symbol = _PLANTED[kind]
    source = tmp_path / "planted.cpp"
    table = "namespace qk::scalar { extern const int kernel_table; const int kernel_table = 1; }"
    source.write_text(f"{table}\n{text}")
    problems = check_isa_symbols.violations(_compile(source, tmp_path))
    assert any(symbol in problem for problem in problems), problems


@needs_compiler
def test_an_object_without_a_table_is_found(tmp_path: Path) -> None:
    source = tmp_path / "empty.cpp"
    source.write_text("")
    made = _compile(source, tmp_path)
    assert check_isa_symbols.violations(made) == [f"{made}: defines no kernel table"]
