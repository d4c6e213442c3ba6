"""Card numbers, so that they can be refused: none may ever reach us (PCI DSS, SAQ A)."""

import re

MIN_DIGITS = 13
MAX_DIGITS = 19
_RUN = re.compile(r"\d(?:[ -]?\d)+", re.ASCII)


def looks_like_card_number(text: str) -> bool:
    """Whether 13 to 19 digits in the text, single spaces or dashes between them, pass Luhn's check.

    A longer run of digits is no card number, nor is any part of it. One in ten other numbers of
    that length passes too. Source: ISO/IEC 7812-1, annex B.
    """
    runs = (re.sub(r"[ -]", "", match[0]) for match in _RUN.finditer(text))
    return any(MIN_DIGITS <= len(run) <= MAX_DIGITS and passes_luhn(run) for run in runs)


def passes_luhn(digits: str) -> bool:
    """Whether the last digit checks the others."""
    doubled = (sum(divmod(2 * int(digit), 10)) for digit in digits[-2::-2])
    return (sum(doubled) + sum(int(digit) for digit in digits[-1::-2])) % 10 == 0
