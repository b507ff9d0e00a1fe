"""Numbers as text."""

from __future__ import annotations


def plain(value: float, decimals: int) -> str:
    """A number, in the typography of a minus; what rounds to zero has none."""
    text = f"{value:.{decimals}f}"
    return text.replace("-", "\N{MINUS SIGN}") if float(text) else text.removeprefix("-")


def signed(value: float, decimals: int) -> str:
    """A difference with its sign; what rounds to zero has none."""
    text = plain(value, decimals)
    return f"+{text}" if value > 0 and float(text) else text


def digits(margin: float) -> int:
    """Decimals of a difference whose margin is `margin`: a third of it must not round to nothing."""
    return 1 if margin >= 1 else 2


def chance(p: float) -> str:
    """A p value; one that rounds to nothing by what it is below."""
    return f"{p:.3f}" if p >= 0.0005 else "below 0.001"
