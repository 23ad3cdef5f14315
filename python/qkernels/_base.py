"""What all weights have in common as Python objects: `@`, `.T`, copies, and what they refuse."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    import numpy as np

    from .transposed import Transposed


class Made:
    """An object that says so where its constructor never ran, as after `object.__new__`."""

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        """Reached for attributes that are not there: unset slots are a fault of their own."""
        kind = type(self)
        if any(name in vars(base).get("__slots__", ()) for base in kind.__mro__):
            raise TypeError(f"this {kind.__name__} was made without its constructor")
        raise AttributeError(f"{kind.__name__!r} object has no attribute {name!r}")


class WeightsBase(Made):
    """Weights of shape (..., k), which multiply and are not arrays.

    They never change, so `copy.copy` and `copy.deepcopy` give the object itself.
    """

    __slots__ = ()
    __array_ufunc__ = None  # NumPy's operators leave `x @ weights` to Python

    @property
    def shape(self) -> tuple[int, ...]:
        """The dimensions, of which the last is k."""
        raise NotImplementedError

    @property
    def ndim(self) -> int:
        """How many dimensions there are."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of weights."""
        size = 1
        for extent in self.shape:
            size *= extent
        return size

    @property
    def T(self) -> Any:  # noqa: N802
        """The transposed matrix, for `x @ weights.T`; a vector is its own.

        Raises:
            ValueError: a stack of matrices, which `mT` transposes one by one.
        """
        if self.ndim > 2:
            raise ValueError(
                f"weights of shape {self.shape} are a stack; weights.mT transposes each matrix"
            )
        return self if self.ndim == 1 else self.mT

    @property
    def mT(self) -> Transposed:  # noqa: N802
        """Every matrix transposed, (..., k, n), for `x @ weights.mT`: a view.

        Raises:
            ValueError: a vector.
        """
        from .transposed import Transposed

        return Transposed(self)

    def __matmul__(self, x: Any) -> Any:
        """weights @ x, for x of shape (k,) or (..., k, m), as `np.matmul` has it.

        Returns:
            shape (..., n) for a vector x, (..., n, m) otherwise; leading dimensions of x and of
            weights broadcast. Of a vector of weights the n is left out: with a vector x the result
            is a number. float32; torch where x is.

        Raises:
            TypeError: x is weights itself, or no array of numbers.
            ValueError: x does not have k rows, or the leading dimensions do not broadcast.
        """
        from ._matmul import matmul

        return matmul(self, x)

    def __rmatmul__(self, x: object) -> NoReturn:
        """Refused: `x @ weights` would sum over rows, and blocks lie along k."""
        raise TypeError(
            f"x @ weights would need the columns of a {type(self).__name__}; x @ weights.T"
            f" multiplies x of shape (..., {self.shape[-1]}) by its rows"
        )

    def __len__(self) -> int:
        """The first dimension."""
        return self.shape[0]

    def __copy__(self) -> Any:
        """Return the weights themselves, which never change."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Return the weights themselves, which never change."""
        return self

    def __array__(self, *args: object, **kwargs: object) -> np.ndarray[Any, Any]:
        """Refused, so that weights are never inflated by accident."""
        raise TypeError(
            f"a {type(self).__name__} does not turn into an array by itself; call .dequantize()"
        )
