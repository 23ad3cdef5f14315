"""Objects that Python code of ours makes: what they say where their constructor never ran."""

from __future__ import annotations

from typing import Any, NoReturn


class Made:
    """An object that says so where its constructor never ran, as after `object.__new__`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        """Reached for attributes that are not there: unset slots are a fault of their own."""
        kind = type(self)
        if any(name in vars(base).get("__slots__", ()) for base in kind.__mro__):
            raise TypeError(f"this {kind.__name__} was made without its constructor")
        raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")


class MatmulOperand(Made):
    """What stands on one side of `@` and is no array: weights, and weights transposed.

    What derives from it has `ndim` and `dequantize()`.
    """

    __slots__ = ()
    __array_ufunc__ = None  # NumPy's operators leave `x @ weights` to Python

    @property
    def ndim(self) -> int:
        """How many dimensions there are."""
        raise NotImplementedError

    def dequantize(self) -> Any:
        """The weights in float32."""
        raise NotImplementedError
