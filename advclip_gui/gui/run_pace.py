"""How fast a run really goes, evaluations included: what the time left is worked out from."""

from __future__ import annotations

from collections import deque

_WINDOW_S = 600.0
_LEAST_S = 3.0


class Pace:
    """Remembers when which step was reached; a pause begins anew.

    The engine's own estimate knows the steps alone; between them accuracies are measured, which may
    take as long.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self._marks: deque[tuple[float, int]] = deque()

    def restart(self) -> None:
        """Forget: the run was held, or is another one."""
        self._marks.clear()

    def reach(self, step: int, now: float) -> None:
        """Remember that a step was reached at a time in seconds."""
        if not self._marks or step > self._marks[-1][1]:
            self._marks.append((now, step))
        while now - self._marks[0][0] > _WINDOW_S and len(self._marks) > 2:
            self._marks.popleft()

    def seconds_left(self, total: int) -> float | None:
        """Seconds to the last step at the pace so far; None while that is not known."""
        if len(self._marks) < 2:
            return None
        (began, first), (latest, step) = self._marks[0], self._marks[-1]
        if latest - began < _LEAST_S:
            return None
        return (total - step) * (latest - began) / (step - first)
