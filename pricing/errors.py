"""What can go wrong with prices. (This package stands alone, so it has its own error; usage never raises.)"""

from __future__ import annotations


class PriceFileError(ValueError):
    """A price file cannot be used; the message is one line with file, line, what is wrong and what is valid."""
