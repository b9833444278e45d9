"""`Audience`: who gets a release, read from `all`, `10%` or `group:kitchen`."""

from __future__ import annotations

from dataclasses import dataclass

from protocol.errors import BadInput
from protocol.topics import check_name


@dataclass(frozen=True, slots=True)
class Audience:
    percent: float | None = None
    group: str | None = None

    @classmethod
    def parse(cls, text: str) -> Audience:
        """Read `all`, `N%` or `group:NAME`. Raises BadInput."""
        if text == "all":
            return cls()
        if text.startswith("group:"):
            return cls(group=check_name(text.removeprefix("group:"), "group"))
        try:
            percent = float(text.removesuffix("%"))
        except ValueError:
            percent = -1.0
        if not text.endswith("%") or not 0 < percent <= 100:
            raise BadInput(f"--to {text!r} names no audience", hint="use all, a share such as 10%, or group:NAME")
        return cls() if percent == 100 else cls(percent=percent)

    @property
    def everybody(self) -> bool:
        return self.percent is None and self.group is None

    def __str__(self) -> str:
        if self.group is not None:
            return f"group {self.group}"
        return "every device" if self.percent is None else f"{self.percent:g} % of the fleet"
