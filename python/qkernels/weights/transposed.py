"""Transposed: weights the other way round, as the right operand of `@`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

from qkernels._base.made import MatmulOperand
from qkernels.weights.matmul import multiply, operand, swapped

if TYPE_CHECKING:
    from qkernels.weights.base import WeightsBase


class Transposed(MatmulOperand):
    """Every matrix of some weights transposed, (..., k, n): a view without memory of its own.

    `weights.T` makes one. `x @ weights.T` is the product with the rows, as in `gemm(weights, x)`;
    nothing else can be done with it.
    """

    __slots__ = ("_weights",)

    def __init__(self, weights: WeightsBase) -> None:
        if weights.ndim < 2:
            raise ValueError(f"weights of shape {weights.shape} have no matrix to transpose")
        self._weights = weights

    @property
    def shape(self) -> tuple[int, ...]:
        """(..., k, n)."""
        *stack, n, k = self._weights.shape
        return (*stack, k, n)

    @property
    def ndim(self) -> int:
        """How many dimensions there are."""
        return self._weights.ndim

    @property
    def size(self) -> int:
        """The number of weights."""
        return self._weights.size

    @property
    def T(self) -> WeightsBase:  # noqa: N802
        """The weights themselves.

        Raises:
            ValueError: a stack of matrices; see `mT`.
        """
        if self.ndim > 2:
            raise ValueError(f"weights of shape {self.shape} are a stack; see mT")
        return self._weights

    @property
    def mT(self) -> WeightsBase:  # noqa: N802
        """The weights themselves."""
        return self._weights

    def dequantize(self) -> Any:
        """The weights in float32, of this shape."""
        return swapped(self._weights.dequantize())

    def __rmatmul__(self, x: Any) -> Any:
        """x @ weights.T for x of shape (k,) or (..., m, k), as `np.matmul` has it.

        Returns:
            shape (..., n) for a vector x, (..., m, n) otherwise, float32; torch where x is.

        Raises:
            TypeError: x is weights itself, or no array of numbers.
            ValueError: the last dimension of x is not k, or leading dimensions do not broadcast.
        """
        x = operand(x)
        if x is NotImplemented:
            return x
        if len(x.shape) < 2:
            return self._weights @ x
        if self.ndim == 2:
            return multiply(self._weights, x)
        return swapped(self._weights @ swapped(x))

    def __matmul__(self, x: object) -> NoReturn:
        """Refused: `weights.T @ x` would sum over rows, and blocks lie along k."""
        raise TypeError(
            "weights.T @ x would need the columns of the weights; transposed weights multiply from"
            " the right only, as in x @ weights.T"
        )

    def __len__(self) -> int:
        """The first dimension."""
        return self.shape[0]

    def __array__(self, *args: object, **kwargs: object) -> NoReturn:
        """Refused, so that weights are never inflated by accident."""
        raise TypeError("transposed weights do not turn into an array; call .dequantize()")

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle the weights."""
        return Transposed, (self._weights,)

    def __repr__(self) -> str:
        """The weights and `.T`."""
        return f"{self._weights!r}.{'T' if self.ndim == 2 else 'mT'}"
