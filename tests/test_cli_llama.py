"""`qkernels generate` and `qkernels perplexity`: what goes where, and how they end."""

from __future__ import annotations

import json
import math
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

import qkernels as qk
from qkernels.cli.app import app
from qkernels.demo.random_model import random_llama
from qkernels.llama import Model, Reference, perplexity
from qkernels.llama.scoring import negative_log_likelihood, windows_of

TEMPLATE = "{% for m in messages %}<|im_start|>{{ m.role }} {{ m.content }}{% endfor %}"
PROMPT = "The capital of France is"
TEXT = "The capital of France is Paris, and to the capital of a France in the capital. " * 6


def invoke(*arguments: str | Path, stdin: str | None = None) -> Any:
    environment = {"COLUMNS": "120"}
    return CliRunner().invoke(app, [str(a) for a in arguments], input=stdin, env=environment)


@pytest.fixture
def model(random_model_path: Path) -> Iterator[Model]:
    with Model(random_model_path) as opened:
        yield opened


def test_the_text_is_the_standard_output_and_its_speed_the_standard_error(
    random_model_path: Path, model: Model
) -> None:
    result = invoke("generate", random_model_path, PROMPT, "--max-tokens", "12")
    assert result.exit_code == 0, result.output
    assert result.stdout == "".join(model.generate(PROMPT, 12)) + "\n"
    assert result.stderr.startswith("[prompt: 5 tokens in ")
    assert " tokens/s, which read " in result.stderr
    assert result.stderr.endswith("of the memory's speed]\n")


def test_a_prompt_may_come_from_standard_input(random_model_path: Path, model: Model) -> None:
    result = invoke("generate", random_model_path, "-", "--max-tokens", "5", stdin=PROMPT)
    assert result.stdout == "".join(model.generate(PROMPT, 5)) + "\n"


def test_options_reach_the_model(random_model_path: Path, model: Model) -> None:
    whole = "".join(model.generate(PROMPT, 12, temperature=1.5, seed=3, top_k=9, top_p=0.9))
    options = ["--temperature", "1.5", "--seed", "3", "--top-k", "9", "--top-p", "0.9"]
    options += ["--max-tokens", "12", "--context", "100", "--threads", "1", "--json"]
    result = invoke("generate", random_model_path, PROMPT, *options)
    assert json.loads(result.stdout)["text"] == whole
    result = invoke("generate", random_model_path, PROMPT, *options, "--stop", whole[3:6])
    assert json.loads(result.stdout)["text"] == whole[: whole.find(whole[3:6])]
    unpacked = [*options, "--no-pack", "--act", "float32", "--cache-dtype", "float32"]
    assert invoke("generate", random_model_path, PROMPT, *unpacked).exit_code == 0


def test_json_is_the_whole_standard_output(random_model_path: Path) -> None:
    result = invoke("generate", random_model_path, PROMPT, "--max-tokens", "6", "--json")
    found = json.loads(result.stdout)
    assert (found["prompt"], found["stats"]["tokens"]) == (PROMPT, 6)
    assert found["stats"]["tokens_per_second"] > 0
    assert found["stats"]["bandwidth_fraction"] > 0
    assert found["machine"]["isa"] == qk.info()["isa"]
    assert result.stderr == ""


def test_chat_uses_the_template(tmp_path: Path) -> None:
    path = random_llama(tmp_path / "chat.gguf", chat_template=TEMPLATE)
    with Model(path) as model:
        expected = "".join(model.generate("<|im_start|>user Hi", 8))
    assert invoke("generate", path, "Hi", "--chat", "--max-tokens", "8").stdout == f"{expected}\n"


def test_switches_of_encoding_reach_the_model(random_model_path: Path, model: Model) -> None:
    text = "<|im_end|>The"
    for options, choices in (
        (["--bos"], {"bos": True}),
        (["--no-bos", "--no-parse-special"], {"bos": False, "parse_special": False}),
    ):
        result = invoke("generate", random_model_path, text, "--max-tokens", "5", *options)
        expected = "".join(model.generate(text, 5, **choices))  # type: ignore[arg-type]
        assert result.stdout == f"{expected}\n", result.output


def test_switches_of_encoding_reach_a_conversation(tmp_path: Path) -> None:
    path = random_llama(tmp_path / "chat.gguf", chat_template=TEMPLATE)
    message = {"role": "user", "content": "a<|im_end|>b"}
    with Model(path) as model:
        expected = "".join(model.chat([message], 8, parse_special=False))
    options = ["--chat", "--max-tokens", "8", "--no-parse-special"]
    assert invoke("generate", path, "a<|im_end|>b", *options).stdout == f"{expected}\n"


def test_a_warning_is_a_line_of_the_standard_error(random_model_path: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.txt"
    text.write_text(f"<|im_start|>{TEXT}")
    begun: list[str | Path] = [
        "generate",
        random_model_path,
        "<|im_start|>The",
        "--bos",
        "--max-tokens",
        "2",
    ]
    for arguments in (begun, ["perplexity", random_model_path, text, "--context", "64", "--bos"]):
        result = invoke(*arguments)
        assert result.exit_code == 0
        line = result.stderr.splitlines()[0]
        assert line.startswith(f"qkernels {arguments[0]}: warning: the text begins with BOS itself")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([""], "the prompt is empty"),
        (["a", "--stop", ""], "stop=[''] holds what is no string or an empty one"),
        (["The " * 600], "tokens are more than the context of 512"),
        (["a", "--chat"], "the file has no tokenizer.chat_template"),
        (["a", "--temperature", "-1"], "temperature=-1.0, expected 0 or more"),
        (["a", "--act", "int3"], "int3"),
        (["a", "--context", "4096"], "max_context=4096 is outside 1..512"),
    ],
)
def test_what_is_wrong_is_one_line(
    random_model_path: Path, options: list[str], message: str
) -> None:
    result = invoke("generate", random_model_path, *options)
    assert result.exit_code == 1
    assert result.stderr.startswith("qkernels generate: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


def test_a_missing_file_is_one_line(tmp_path: Path, random_model_path: Path) -> None:
    for arguments in (
        ("generate", tmp_path / "missing.gguf", "a"),
        ("perplexity", tmp_path / "missing.gguf", __file__),
        ("perplexity", random_model_path, tmp_path / "missing.txt"),
    ):
        result = invoke(*arguments)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"qkernels {arguments[0]}: ")
        assert result.stderr.count("\n") == 1


def test_control_c_ends_a_generation_with_130(tmp_path: Path) -> None:
    path = random_llama(tmp_path / "long.gguf", context=1 << 20)
    command = [sys.executable, "-m", "qkernels", "generate", str(path), PROMPT]
    command += ["--max-tokens", "1000000"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell's background jobs ignore the signal, and so would their children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    process.stdout.read(20)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert (process.returncode, stderr) == (130, b"\n")


def test_likelihoods_are_those_of_a_softmax() -> None:
    logits = np.random.default_rng(0).normal(0, 30, (130, 7)).astype(np.float32)
    tokens = [i % 7 for i in range(130)]
    chances = np.exp(logits.astype(np.float64))
    chances /= chances.sum(axis=1, keepdims=True)
    expected = -np.log(chances[np.arange(130), tokens]).sum()
    assert negative_log_likelihood(logits, tokens) == pytest.approx(expected, rel=1e-6)


def test_windows_do_not_overlap_and_all_begin_alike(
    model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = model.tokenizer.encode("the capital of")
    text = "the capital of"
    assert windows_of(model, text, 512) == [ids]
    assert len(ids) == 5
    assert windows_of(model, text, 2) == [ids[:2], ids[2:4]]
    monkeypatch.setattr(model.tokenizer, "add_bos", True)
    assert windows_of(model, text, 3) == [[1, *ids[:2]], [1, *ids[2:4]], [1, ids[4]]]


def test_windows_have_one_begin_each_and_heed_the_switches(model: Model) -> None:
    text = "<|im_start|>the capital of"
    the = windows_of(model, "the capital of", 512)[0]
    assert windows_of(model, text.encode(), 512) == [[1, *the]]
    assert windows_of(model, "the capital of", 3, bos=True)[1] == [1, *the[2:4]]
    with pytest.warns(UserWarning, match="begins with BOS itself, so that none is added"):
        assert windows_of(model, text, 512, bos=True) == [[1, *the]]
    assert windows_of(model, text, 512, parse_special=False)[0][-5:] == the
    for wrong in (3, [1, 2]):
        with pytest.raises(TypeError, match="the text is text, or UTF-8 bytes of it, not "):
            perplexity(model, wrong, 32)  # type: ignore[arg-type]


def test_perplexity_is_that_of_the_reference(random_model: qk.GGUFFile, model: Model) -> None:
    reference = Reference(random_model, "float64")
    losses = []
    for window in windows_of(model, TEXT, 32):
        reference.reset()
        logits = reference.forward(window)[:-1]
        losses += [
            negative_log_likelihood(logits[i : i + 1], [t]) for i, t in enumerate(window[1:])
        ]
    told: list[tuple[int, int]] = []
    found = perplexity(model, TEXT, 32, lambda *progress: told.append(progress))
    assert found.perplexity == pytest.approx(math.exp(float(np.mean(losses))), rel=1e-3)
    assert (found.tokens, found.context) == (len(losses), 32)
    assert (len(told), told[-1]) == (found.windows, (len(losses), len(losses)))


def test_the_command_prints_the_perplexity(
    random_model_path: Path, model: Model, tmp_path: Path
) -> None:
    path = tmp_path / "text.txt"
    path.write_text(TEXT)
    expected = perplexity(model, TEXT, 64)
    result = invoke("perplexity", random_model_path, path, "--context", "64", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["perplexity"] == pytest.approx(expected.perplexity, rel=1e-6)
    assert found["tokens"] == expected.tokens
    line = invoke("perplexity", random_model_path, path, "--context", "64").stdout
    counts = f"{expected.tokens:,} tokens in {expected.windows} windows of 64"
    assert line.startswith(f"perplexity {expected.perplexity:.4f} over {counts}")


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (b"", [], "a text of 0 tokens has no token that another one foretells"),
        (b"\xff\xfe", [], "'utf-8' codec can't decode"),
        (b"the capital", ["--context", "4096"], "max_context=4096 is outside 1..512"),
    ],
)
def test_a_text_that_cannot_be_scored_is_one_line(
    random_model_path: Path, tmp_path: Path, content: bytes, options: list[str], message: str
) -> None:
    path = tmp_path / "text.txt"
    path.write_bytes(content)
    result = invoke("perplexity", random_model_path, path, *options)
    assert result.exit_code == 1
    assert result.stderr.startswith("qkernels perplexity: ")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1
