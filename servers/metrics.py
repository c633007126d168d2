"""What a server counts, in Prometheus' text format."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

_BOUNDS_S = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Durations:
    """A histogram of seconds."""

    def __init__(self) -> None:
        self._counts = [0] * (len(_BOUNDS_S) + 1)
        self._total_s = 0.0

    def add(self, seconds: float) -> None:
        """Count one."""
        self._total_s += seconds
        self._counts[sum(seconds > bound for bound in _BOUNDS_S)] += 1

    def lines(self, name: str, text: str) -> list[str]:
        """As Prometheus reads it: how many took at most so long."""
        lines = [f"# HELP {name} {text}", f"# TYPE {name} histogram"]
        so_far = 0
        for bound, count in zip((*map(str, _BOUNDS_S), "+Inf"), self._counts, strict=True):
            so_far += count
            lines.append(f'{name}_bucket{{le="{bound}"}} {so_far}')
        return [*lines, f"{name}_sum {self._total_s}", f"{name}_count {so_far}"]


class Metrics:
    """Of one server since it began."""

    def __init__(self) -> None:
        self.requests: Counter[int] = Counter()
        """Chat requests by the status of their answer; 499 where the client left."""
        self.prompt_tokens = 0
        self.answer_tokens = 0
        self.pictures = 0
        self.first_token_s, self.total_s = Durations(), Durations()

    def text(self, now: Mapping[str, tuple[str, float]]) -> str:
        """All of it, with what is so `now`: name -> (what it means, value)."""
        lines = [
            "# HELP mlcd_requests_total Chat requests by status; 499: the client left.",
            "# TYPE mlcd_requests_total counter",
        ]
        for status, count in sorted(self.requests.items()):
            lines.append(f'mlcd_requests_total{{status="{status}"}} {count}')
        for name, text, value in (
            ("prompt_tokens", "Tokens of prompts, pictures included.", self.prompt_tokens),
            ("answer_tokens", "Tokens of answers.", self.answer_tokens),
            ("pictures", "Pictures asked about.", self.pictures),
        ):
            lines += _lines(f"mlcd_{name}_total", "counter", text, value)
        for name, (text, amount) in now.items():
            kind = "counter" if name.endswith("_total") else "gauge"
            lines += _lines(f"mlcd_{name}", kind, text, amount)
        lines += self.first_token_s.lines(
            "mlcd_first_token_seconds", "From the request's arrival to the first piece of text."
        )
        lines += self.total_s.lines(
            "mlcd_answer_seconds", "From the request's arrival to the end of its answer."
        )
        return "\n".join(lines) + "\n"


def _lines(name: str, kind: str, text: str, value: float) -> list[str]:
    return [f"# HELP {name} {text}", f"# TYPE {name} {kind}", f"{name} {value}"]
