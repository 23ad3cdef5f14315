"""What all commands do with their options: none that was typed is passed over in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand, TyperGroup

Function = TypeVar("Function", bound=Callable[..., Any])


def _refuse_repeated(command: Any, ctx: Any, args: list[str]) -> None:
    """An option of one value, or a switch, that is given twice: the last would win unheard."""
    if ctx.resilient_parsing:
        return
    _, _, typed = command.make_parser(ctx).parse_args(args=list(args))
    for parameter, times in Counter(typed).items():
        once = parameter.param_type_name == "option" and not parameter.is_eager
        if times > 1 and once and not (parameter.multiple or parameter.count):
            ctx.fail(f"{' / '.join(_spellings(parameter))} is given {times} times; once is all")


def _spellings(parameter: Any) -> list[str]:
    return [max(names, key=len) for names in (parameter.opts, parameter.secondary_opts) if names]


class Command(TyperCommand):
    """A command whose options of one value are given once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an option that is given again, then read all (UsageError)."""
        _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


class Group(TyperGroup):
    """The same for what stands before a command's name."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Refuse an option that is given again, then read all (UsageError)."""
        if args:
            _refuse_repeated(self, ctx, args)
        return super().parse_args(ctx, args)


class App(typer.Typer):
    """A Typer whose commands are `Command`s."""

    def __init__(self, **options: Any) -> None:
        super().__init__(cls=Group, **options)

    def command(self, name: str | None = None, **options: Any) -> Callable[[Function], Function]:
        """See typer's."""
        return super().command(name, **{"cls": Command, **options})


def refuse_idle(ctx: typer.Context, names: Iterable[str], why: str) -> None:
    """Refuse options that were typed and have no part in what is asked for.

    Args:
        ctx: the command's.
        names: parameters of its function.
        why: what follows "changes nothing" in the message.

    Raises:
        typer.BadParameter: one of them was typed.
    """
    known = {parameter.name: parameter for parameter in ctx.command.params}
    typed = [n for n in names if getattr(ctx.get_parameter_source(n), "name", "") == "COMMANDLINE"]
    if typed:
        listed = ", ".join("/".join(_spellings(known[name])) for name in typed)
        verb = "changes" if len(typed) == 1 else "change"
        raise typer.BadParameter(f"{listed} {verb} nothing {why}")
