"""The structure of python/qkernels: imports point one way, nothing goes round, little is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest

import check_imports
import qkernels as qk


def package(root: Path, files: dict[str, str]) -> Path:
    """A package of these modules, and of an empty one for each folder on their way."""
    for name, text in {"__init__.py": "", "_core.py": "", **files}.items():
        path = root / "qkernels" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        for folder in path.relative_to(root).parents:
            if folder.name:
                (root / folder / "__init__.py").touch()
    return root / "qkernels"


def test_imports_point_one_way() -> None:
    assert check_imports.faults() == []


def test_every_folder_has_a_rule() -> None:
    folders = {p.name for p in check_imports.PACKAGE.iterdir() if (p / "__init__.py").exists()}
    assert folders <= set(check_imports.RULES)


@pytest.mark.parametrize(
    ("file", "target"),
    [
        ("_base/a.py", "weights.b"),
        ("_measure/a.py", "bench.b"),
        ("weights/a.py", "ops.b"),
        ("ops/a.py", "cuda.b"),
        ("files/a.py", "tools.b"),
        ("llama/a.py", "bench.b"),
        ("stream/a.py", "llama.b"),
        ("bench/a.py", "cli.b"),
    ],
)
@pytest.mark.parametrize("text", ["import qkernels.{}\n", "def f():\n    import qkernels.{}\n"])
def test_an_import_against_the_direction_is_found(
    tmp_path: Path, file: str, target: str, text: str
) -> None:
    files = {target.replace(".", "/") + ".py": "", file: text.format(target)}
    (fault,) = check_imports.faults(package(tmp_path, files))
    assert f"qkernels/{file}:" in fault
    assert f"imports {target}" in fault


def test_a_circle_is_found_though_one_of_its_imports_waits(tmp_path: Path) -> None:
    files = {
        "weights/a.py": "from qkernels.weights import b\n",
        "weights/b.py": "def f():\n    from qkernels.weights.a import x\n",
    }
    (fault,) = check_imports.faults(package(tmp_path, files))
    assert fault == "a circle of imports: weights.a -> weights.b -> weights.a"


def test_a_relative_import_and_a_name_that_is_not_there_are_found(tmp_path: Path) -> None:
    files = {"ops/a.py": "from . import b\nimport qkernels.ops.c\n", "ops/b.py": ""}
    found = check_imports.faults(package(tmp_path, files))
    assert [fault.partition(": ")[2] for fault in found] == [
        "a relative import; name the module from qkernels on",
        "there is no qkernels.ops.c",
    ]


def loaded_by(code: str) -> set[str]:
    """The modules that a program has loaded at its end."""
    show = f"import sys; {code}; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    return set(run.stdout.split())


def test_importing_the_package_loads_what_products_need_and_numpy() -> None:
    heavy = {"torch", "gguf", "tokenizers", "jinja2", "rich", "typer", "platformdirs", "ctypes"}
    parts = {f"qkernels.{part}" for part in ("cuda", "llama", "gates", "stream", "files", "cli")}
    ours = loaded_by("import qkernels") - loaded_by("import numpy")
    assert not ours & heavy
    assert not ours & parts


def microseconds(output: str, module: str) -> int:
    """What `-X importtime` says of a module and all that it imports."""
    lines = [line.split("|") for line in output.splitlines() if line.count("|") == 2]
    return next(int(cumulative) for _, cumulative, name in lines if name.strip() == module)


def test_importing_the_package_costs_a_fraction_of_importing_numpy() -> None:
    """25 ms beside NumPy's 70 to 90, as a ratio: both take longer where the machine is busy."""
    ratios = []
    for _ in range(5):
        command = [sys.executable, "-X", "importtime", "-c", "import numpy; import qkernels"]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stderr
        ratios.append(microseconds(told, "qkernels") / microseconds(told, "numpy"))
    assert min(ratios) < 0.36


@pytest.mark.parametrize("name", sorted(check_imports.RENAMED))
def test_public_modules_keep_their_names(name: str) -> None:
    module = __import__(f"qkernels.{name}", fromlist=["_"])
    assert module.__all__
    for public in module.__all__:
        assert hasattr(module, public)


def test_all_public_names_are_there() -> None:
    assert set(qk.__all__) <= set(dir(qk))
    for name in qk.__all__:
        assert getattr(qk, name) is not None


@pytest.mark.parametrize(
    ("package_name", "code", "line"),
    [
        ("typer", "from qkernels.cli import main; main()", 'install "qkernels[cli]"'),
        ("platformdirs", "import qkernels.models as m; m.cache_folder()", '"qkernels[hub]"'),
        ("gguf", "import qkernels.demo.measure as m; m.reader_seconds('a')", '"qkernels[cli]"'),
    ],
)
def test_what_needs_an_extra_says_which(package_name: str, code: str, line: str) -> None:
    hide = f"import sys; sys.modules[{package_name!r}] = None; "
    run = subprocess.run([sys.executable, "-c", hide + code], capture_output=True, text=True)
    assert run.returncode == 1
    assert f"needs {package_name}: python -m pip" in run.stderr
    assert line in run.stderr
