"""The commands that run a model: `qkernels generate` and `qkernels perplexity`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import qkernels as qk
from qkernels._base.progress import progress
from qkernels.cli.common import Json, Threads, errors, to_json
from qkernels.cli.options import refuse_idle

if TYPE_CHECKING:
    from qkernels.llama import Model, Perplexity, Stats

ModelName = Annotated[
    str, typer.Argument(metavar="MODEL", help="A GGUF file, or smollm2, which is fetched once.")
]
Pack = Annotated[
    bool, typer.Option("--pack/--no-pack", help="Copy the weights into the fastest layout.")
]
Act = Annotated[str, typer.Option(help="How activations enter products: int16, float32 or int8.")]
CacheDtype = Annotated[str, typer.Option(help="Of keys and values: float16 or float32.")]
Bos = Annotated[
    bool | None,
    typer.Option("--bos/--no-bos", help="Begin texts with BOS; by default as the file says."),
]
ParseSpecial = Annotated[
    bool,
    typer.Option(
        "--parse-special/--no-parse-special",
        help="Take the spellings of special tokens in the text for these tokens.",
    ),
]


def generate(
    ctx: typer.Context,
    model: ModelName,
    prompt: Annotated[str, typer.Argument(help="The text to continue; - reads standard input.")],
    max_tokens: Annotated[int, typer.Option(min=0, help="The most tokens to generate.")] = 128,
    temperature: Annotated[float, typer.Option(help="0 takes the likeliest token.")] = 0.0,
    top_k: Annotated[int, typer.Option(help="Choose among so many tokens; 0 among all.")] = 40,
    top_p: Annotated[float, typer.Option(help="Choose among the likeliest with this sum.")] = 0.95,
    min_p: Annotated[float, typer.Option(help="Leave out what is below this share.")] = 0.05,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1 makes tokens of the last 64 less likely.")
    ] = 1.0,
    seed: Annotated[int | None, typer.Option(help="For the choice; by default a new one.")] = None,
    stop: Annotated[
        list[str] | None, typer.Option(help="Ends the text; may be given several times.")
    ] = None,
    chat: Annotated[
        bool, typer.Option("--chat", help="Answer the prompt, by the model's chat template.")
    ] = False,
    bos: Bos = None,
    parse_special: ParseSpecial = True,
    context: Annotated[
        int | None,
        typer.Option(
            min=1, help="The most tokens; by default the model's own limit, or what memory holds."
        ),
    ] = None,
    act: Act = "int16",
    cache_dtype: CacheDtype = "float16",
    pack: Pack = True,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Continue a text, or answer it with --chat; its speed goes to standard error.

    With --chat, --no-parse-special keeps the spellings of special tokens in the
    prompt from being these tokens; those of the template are.
    """
    from qkernels.llama.options import Sampling

    if temperature == 0:
        chance = ("top_k", "top_p", "min_p", "seed")
        refuse_idle(ctx, chance, "at --temperature 0, which takes the likeliest token")
    with errors("generate"):
        text = sys.stdin.read() if prompt == "-" else prompt
        options = Sampling(
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
            seed=seed,
            stop=stop or (),
            bos=bos,
            parse_special=parse_special,
        )
        with _load(model, pack, cache_dtype, context, act, threads) as loaded:
            if chat:
                message = {"role": "user", "content": text}
                pieces = loaded.chat([message], max_tokens, **options)
            else:
                pieces = loaded.generate(text, max_tokens, **options)
            if json:
                answer = "".join(pieces)
                found = {"model": model, "prompt": text, "text": answer}
                found |= {"stats": loaded.stats.to_dict(), "machine": qk.info()}
                typer.echo(to_json(found))
            else:
                _write(pieces)
                typer.echo(_summary(loaded.stats), err=True)


def perplexity(
    model: ModelName,
    file: Annotated[Path, typer.Argument(help="A text in UTF-8.")],
    context: Annotated[int, typer.Option(min=2, help="Tokens of a window.")] = 512,
    bos: Bos = None,
    parse_special: ParseSpecial = True,
    act: Act = "int16",
    cache_dtype: CacheDtype = "float16",
    pack: Pack = True,
    threads: Threads = None,
    json: Json = False,
) -> None:
    """Measure how well a model foretells a text.

    The text's tokens are cut into windows that do not overlap, of --context
    tokens each, the last one of what is left. Every token but the first of its
    window is scored by the negative logarithm of the probability that the model
    gives it after those before it in the window. The perplexity is e to the mean
    of all scores. Where the tokenizer begins texts with BOS, or with --bos, so does
    every window.
    """
    with errors("perplexity"):
        text = file.read_text(encoding="utf-8")
        with _load(model, pack, cache_dtype, context, act, threads) as loaded:
            found = _measure(loaded, text, context, bos, parse_special)
        if json:
            typer.echo(to_json({"model": model, "file": str(file), **vars(found)}))
        else:
            typer.echo(
                f"perplexity {found.perplexity:.4f} over {found.tokens:,} tokens in"
                f" {found.windows} windows of {found.context} ({found.seconds:.1f} s)"
            )


def _load(
    name: str, pack: bool, cache_dtype: str, context: int | None, act: str, threads: int | None
) -> Model:
    """The model; on a terminal a bar shows where fetching or packing it takes long."""
    from qkernels.llama import Model

    return Model(
        name, pack=pack, cache_dtype=cache_dtype, max_context=context, act=act, threads=threads
    )


def _measure(
    model: Model, text: str, context: int, bos: bool | None, parse_special: bool
) -> Perplexity:
    from qkernels.llama import perplexity

    done = 0

    def tell(so_far: int, total: int) -> None:
        nonlocal done
        bar.expect(total)
        bar.advance(so_far - done)
        done = so_far

    with progress("Scoring tokens", patience=0) as bar:
        return perplexity(model, text, context, tell, bos=bos, parse_special=parse_special)


def _write(pieces: Iterable[str]) -> None:
    """Print a text as it comes, and end its line.

    On a terminal, characters that would steer it are shown by their codes.
    """
    steered = sys.stdout.isatty()
    for piece in pieces:
        shown = "".join(map(_visible, piece)) if steered else piece
        sys.stdout.write(shown)
        sys.stdout.flush()
    sys.stdout.write("\n")
    sys.stdout.flush()


def _visible(character: str) -> str:
    kept = character.isprintable() or character in "\n\t"
    # What is no control character has no width that could mislead, such as other spaces.
    return character if kept or ord(character) >= 0xA0 else ascii(character)[1:-1]


def _summary(stats: Stats) -> str:
    """One line about a generation."""
    line = f"prompt: {stats.prompt_tokens} tokens in {stats.prompt_seconds * 1e3:.0f} ms"
    if not stats.tokens_per_second:
        return f"[{line}]"
    speed = stats.bytes_per_token * stats.tokens_per_second / 1e9
    return (
        f"[{line}; then {stats.tokens_per_second:.1f} tokens/s, which read {speed:.1f} GB/s,"
        f" {stats.bandwidth_fraction:.0%} of the memory's speed]"
    )
