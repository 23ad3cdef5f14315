"""The README's examples run as they stand and print what their comments say."""

import re
from pathlib import Path

import pytest

README = Path(__file__).resolve().parent.parent / "README.md"


@pytest.mark.model
@pytest.mark.slow
def test_the_readme_examples_run(
    model_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("QKERNELS_MODEL", str(model_path))
    monkeypatch.chdir(tmp_path)
    examples = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    numpy_example, torch_example, layer_example, model_example, tools_example = examples
    exec(compile(numpy_example, "README.md", "exec"), {})
    assert 5e-6 < float(capsys.readouterr().out) < 5e-5
    exec(compile(torch_example, "README.md", "exec"), {})
    assert capsys.readouterr().out.startswith("torch.Size([3, 576]) torch.Size([3, 192])")
    exec(compile(layer_example, "README.md", "exec"), {})
    assert "(3, 576) KVCache(kv_heads=3, head_dim=64, 3 of 2048" in capsys.readouterr().out
    exec(compile(model_example, "README.md", "exec"), {})
    assert "Paris" in capsys.readouterr().out
    exec(compile(tools_example, "README.md", "exec"), {})
    assert capsys.readouterr().out.splitlines() == ["-8 7", "(256,)"]


def test_the_readme_says_the_two_commands() -> None:
    commands = re.findall(r"```sh\n(.*?)```", README.read_text(), re.DOTALL)[0].splitlines()
    assert commands == [
        'python -m pip install ".[cli]" && qkernels demo',
        'python -m pip install ".[test]" && python -m pytest',
    ]
