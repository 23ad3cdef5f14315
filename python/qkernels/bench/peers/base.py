"""What a peer is."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Protocol

from qkernels._measure.method import Candidate
from qkernels.bench.problem import Problem


class UnsuitedError(Exception):
    """A peer that is installed cannot compute a problem; the message says why."""


class Peer(Protocol):
    """Another way to compute the product."""

    @property
    def name(self) -> str:
        """As tables show it."""

    def absence(self) -> str | None:
        """Why this peer cannot be used here at all; None where it can."""

    def candidates(self, problem: Problem, threads: int, resources: ExitStack) -> list[Candidate]:
        """The ways in which this peer computes a problem.

        Args:
            problem: what to compute.
            threads: how many it may use.
            resources: closed when the problem has been measured.

        Raises:
            UnsuitedError: it cannot compute this problem.
        """


def candidates_of(
    peer: Peer, problem: Problem, threads: int, resources: ExitStack, absent: dict[str, str]
) -> list[Candidate]:
    """A peer's candidates; none where it is absent or unsuited, and then why, into `absent`."""
    reason = peer.absence()
    if reason is None:
        try:
            return peer.candidates(problem, threads, resources)
        except UnsuitedError as error:
            reason = str(error)
    absent[peer.name] = reason
    return []
