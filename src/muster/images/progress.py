"""How long work says where it is."""

from collections.abc import Callable

Progress = Callable[[str, float | None], None]
"""Called with a sentence and, where it is known, how much of it is done (0 to 1)."""


def silent(_: str, __: float | None = None) -> None:
    """For callers that do not look."""
