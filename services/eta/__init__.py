"""How long orders take: learning it, answering it, and what outside makes it longer."""

from services.eta.foreteller import Foreteller

__all__ = ["Foreteller"]
