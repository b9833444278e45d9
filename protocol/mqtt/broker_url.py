"""A broker's address: `mqtt://user:password@host:port`, or `mqtts://` for TLS.

No text or error made here contains the password.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import Final, NoReturn
from urllib.parse import SplitResult, quote, unquote, urlsplit

from protocol.errors import BadSettings

PORT: Final = 1883
TLS_PORT: Final = 8883
_SCHEMES: Final = {"mqtt": False, "mqtts": True}
_FORM: Final = "write mqtt://host, mqtt://user:password@host:1883 or mqtts://host:8883"


@dataclass(frozen=True, slots=True)
class BrokerUrl:
    """One broker's address; `host` is without the brackets of an IPv6 address."""

    host: str
    port: int = PORT
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: bool = False

    @classmethod
    def parse(cls, text: str) -> BrokerUrl:
        """Parse an address; credentials may be percent-encoded. Raises BadSettings."""
        if any(character.isspace() or not character.isprintable() for character in text):
            _refuse(text, "has a space or a control character in it")
        try:
            parts = urlsplit(text)
        except ValueError:  # brackets that do not close
            _refuse(text, "has a host that cannot be read")
        if parts.scheme not in _SCHEMES or "://" not in text:
            _refuse(text, "does not begin with mqtt:// or mqtts://")
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            # a password with an unencoded '/', '?' or '#' ends up here too
            _refuse(text, "has something behind the port", "encode '/', '?' and '#' in a password as %2F, %3F and %23")
        if not parts.hostname:
            _refuse(text, "names no host")
        try:
            parts.hostname.encode("idna")
        except UnicodeError:
            _refuse(text, "has a host that cannot be read")
        user, password = _credentials(text, parts)
        tls = _SCHEMES[parts.scheme]
        return cls(parts.hostname, _port(text, parts) or (TLS_PORT if tls else PORT), user, password, tls)

    @property
    def address(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        user = f"{quote(self.user, safe='')}@" if self.user is not None else ""
        return f"{'mqtts' if self.tls else 'mqtt'}://{user}{self.address}"


def _port(text: str, parts: SplitResult) -> int | None:
    port: int | None = 0
    with suppress(ValueError):
        port = parts.port
    if port == 0:
        _refuse(text, "has a port that is no number from 1 to 65535")
    return port


def _credentials(text: str, parts: SplitResult) -> tuple[str | None, str | None]:
    if parts.username is None:
        return None, None
    if not parts.username:
        _refuse(text, "has a password or an '@' but no user")
    return unquote(parts.username), None if parts.password is None else unquote(parts.password)


def _refuse(text: str, fault: str, hint: str = _FORM) -> NoReturn:
    shown = "".join(character if character.isprintable() else "?" for character in _without_credentials(text))
    raise BadSettings(f"the broker address {shown[:120]!r} {fault}", hint=hint) from None


def _without_credentials(text: str) -> str:
    """Everything before the last '@' may be a password, also in a broken address."""
    scheme, separator, rest = text.rpartition("://")
    _secret, at, host = rest.rpartition("@")
    if at:
        return f"{scheme if separator and '@' not in scheme else ''}{separator}…@{host}"
    return text
