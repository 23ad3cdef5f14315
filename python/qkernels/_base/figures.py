"""Figures that no window or global state knows of, and that a notebook shows all the same."""

from __future__ import annotations

import io

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A matplotlib figure that Jupyter draws without being told to by `%matplotlib inline`.

    pyplot's figures are drawn at the end of a cell and stay in memory until they are closed; this
    one is drawn where it is the cell's value, and goes when nothing refers to it.
    """

    def _repr_png_(self) -> bytes:
        png = io.BytesIO()
        self.savefig(png, format="png")
        return png.getvalue()
