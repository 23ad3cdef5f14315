"""What all kinds of weights are: a product, a decoding, `@`, `.T`, copies, and what they refuse.

A kind of weights is a class with a shape and a format that derives from `WeightsBase` and says how
it is multiplied (`_product`) and decoded (`_decode`); the operators ask nothing else.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn

from qkernels._base.made import MatmulOperand
from qkernels.weights.matmul import matmul
from qkernels.weights.transposed import Transposed

if TYPE_CHECKING:
    import numpy as np

    from qkernels import _core


class WeightsBase(MatmulOperand):
    """Weights of shape (..., k), which multiply and are not arrays.

    They never change, so `copy.copy` and `copy.deepcopy` give the object itself.
    """

    __slots__ = ()

    @property
    def fmt(self) -> str:
        """The format's name in lower case, such as "q4_k"."""
        raise NotImplementedError

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
        return math.prod(self.shape)

    def _product(
        self, x: Any, *, bias: Any, act: str, out: Any, threads: int | None, vector: bool
    ) -> Any:
        """x @ weights.T + bias: what `gemv` (of a vector) and `gemm` do with this kind."""
        raise TypeError(f"a {type(self).__name__} has no product")

    def _decode(self, *, rows: slice | None, dtype: Any, out: Any, threads: int | None) -> Any:
        """The weights as floats: what `dequantize` does with this kind."""
        raise TypeError(f"a {type(self).__name__} is not decoded; the QTensor is")

    def _core_view(self) -> _core.Weights:
        """The weights as the core's operators take them.

        Raises:
            TypeError: this kind is not in the host's memory, or not whole.
        """
        raise TypeError(
            f"weights must be a QTensor, or uint8 blocks with fmt, not {type(self).__name__}"
        )

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
