"""How long orders take: learning it, answering it, and what outside makes it longer."""
