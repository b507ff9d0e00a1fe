"""Numbers as text."""

from __future__ import annotations


def signed(value: float, decimals: int) -> str:
    """A difference with its sign, in the typography of a minus."""
    return f"{value:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")
