"""How much a server takes on, of one request and of all together."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """What is more is refused, with a sentence that says what was expected."""

    max_batch: int = 8
    """Answers that are written together; each needs memory for its whole conversation."""
    max_waiting: int = 64
    """Requests beyond those; each may hold `max_body_bytes`."""
    max_body_bytes: int = 64 * 2**20
    """Of one request, pictures included."""
    max_pictures: int = 64
    """Of one request."""
    max_pixels: int = 100_000_000
    """Of all pictures of one request together; seen in their headers before they are decoded."""
    max_new_tokens: int = 4096
    """Of one answer."""
    body_timeout_s: float = 60.0
    """In which a request must have arrived."""

    def __post_init__(self) -> None:
        for field in fields(self):
            least = 0 if field.name in ("max_waiting", "max_pictures") else 1
            value = getattr(self, field.name)
            if value < least:
                raise ValueError(f"{field.name}: expected at least {least}, got {value}")
