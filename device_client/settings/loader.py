"""`load` reads and checks `device.toml`, and rejects it with the line to fix.

Command-line flags override environment variables, such as `EDGEFERRY_BROKER`, which
override the file.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any, get_args

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, EnvSettingsSource, SettingsConfigDict

from device_client.adapters.sensors.probe_settings import ProbeSettings
from device_client.core.policy import DownloadLimits, Policy, Thresholds, TrialLimits
from device_client.settings.error_text import ENVIRONMENT, first_non_finite, place_of, settings_error
from device_client.settings.sections import FeedbackSection, ModelSection, Section, StrategySection, TlsSection
from protocol.content.encodings import known_here
from protocol.errors import BadSettings
from protocol.messages.base import Name
from protocol.mqtt.broker_url import BrokerUrl


class DeviceSettings(BaseSettings):
    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=ENVIRONMENT, env_nested_delimiter="__")

    device: Name
    """Name of the device."""
    groups: tuple[Name, ...] = ()
    """Groups of the device, which a plan may name."""
    broker: str = "mqtt://127.0.0.1:1883"
    """Address of the broker; `mqtts://` for TLS."""
    user: str | None = None
    """User at the broker."""
    password: SecretStr | None = None
    """Password at the broker."""
    root: Path = Path("root.json")
    """File: the root of trust, from the device's enrolment."""
    topic_root: Name = "fleet"
    """First level of every topic."""
    state: Path = Path("state")
    """Folder: models, journal and the file `hold`."""
    probe_file: Path | None = None
    """JSON file that overrides readings, for tests and demonstrations."""
    models: tuple[ModelSection, ...] = Field(default=(ModelSection(name="digits"),), min_length=1, max_length=32)
    strategy: StrategySection = StrategySection()
    conditions: Thresholds = Field(default_factory=Thresholds)
    probes: ProbeSettings = Field(default_factory=ProbeSettings)
    download: DownloadLimits = Field(default_factory=DownloadLimits)
    trial: TrialLimits = Field(default_factory=TrialLimits)
    feedback: FeedbackSection = FeedbackSection()
    tls: TlsSection = TlsSection()

    def broker_url(self) -> BrokerUrl:
        """The broker with its credentials. Raises BadSettings."""
        url = BrokerUrl.parse(self.broker)
        password = self.password.get_secret_value() if self.password else url.password
        return replace(url, user=self.user or url.user, password=password)

    def policy(self, model: ModelSection) -> Policy:
        budget = model.memory_budget_mb
        return Policy(
            device=self.device,
            model=model.name,
            groups=self.groups,
            variant=model.variant,
            prefer=model.prefer,
            memory_budget_bytes=round(budget * 1_000_000) if budget else None,
            latency_budget_ms=model.latency_max_ms(),
            variant_recheck_s=model.variant_recheck_s,
            delegated=bool(model.delegates),
            known_encodings=known_here(),
            strategy=self.strategy.strategy(),
            thresholds=self.conditions,
            download=self.download,
            trial=self.trial,
        )


def load(path: Path, **flags: Any) -> DeviceSettings:
    """Read a settings file; flags that are None are not set. Raises BadSettings."""
    text, content = _read(path)
    given = {name: value for name, value in flags.items() if value is not None}
    try:
        settings = DeviceSettings(**_merged(_merged(content, EnvSettingsSource(DeviceSettings)()), given))
        settings.broker_url()
    except ValidationError as refused:
        raise settings_error(path, text, refused, _known_keys(), os.environ) from None
    except BadSettings as refused:
        # a flag is not named, as the user sees it
        place = "" if flags.get("broker") else f"{place_of(path, text, ('broker',), os.environ)}: "
        raise BadSettings(f"{place}{refused.message}", hint=refused.hint) from None
    _check_names(path, settings)
    _check_kind(path, text, settings.strategy)
    folder = path.resolve().parent
    tls = settings.tls
    absolute = {name: folder / file for name in ("ca", "cert", "key") if (file := getattr(tls, name)) is not None}
    return settings.model_copy(
        update={
            "root": folder / settings.root,
            "state": folder / settings.state,
            "probe_file": folder / settings.probe_file if settings.probe_file else None,
            "tls": tls.model_copy(update=absolute),
            "models": tuple(section.with_absolute_paths(folder) for section in settings.models),
        }
    )


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """The values of both, section by section; those of `above` override."""
    merged = dict(below)
    for key, value in above.items():
        is_section = isinstance(value, dict) and isinstance(below.get(key), dict)
        merged[key] = _merged(below[key], value) if is_section else value
    return merged


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadSettings(f"there is no {path}", hint="`publisher enroll DEVICE --out FOLDER` writes one") from None
    except OSError as unreadable:
        raise BadSettings(f"{path} cannot be read: {unreadable.strerror}") from None
    except UnicodeDecodeError:
        raise BadSettings(f"{path} is no text in UTF-8") from None
    try:
        content = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as broken:
        raise BadSettings(f"{path} is not TOML: {broken}") from None
    if location := first_non_finite(content):
        key = ".".join(str(part) for part in location if isinstance(part, str))
        raise BadSettings(f"{place_of(path, text, location, {})}: {key}: a finite number is wanted")
    if private := next((key for key in content if key.startswith("_")), None):  # pydantic-settings would take it
        raise BadSettings(f"{place_of(path, text, (private,), {})}: there is no setting {private!r}")
    return text, content


def _check_names(path: Path, settings: DeviceSettings) -> None:
    names = [section.name for section in settings.models]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise BadSettings(f"{path}: the model {twice!r} is named twice", hint="leave one [[models]] of that name")


def _check_kind(path: Path, text: str, strategy: StrategySection) -> None:
    """Reject a key of another kind, as it would have no effect."""
    if (found := strategy.key_of_other_kind()) is None:
        return
    key, kind = found
    place = place_of(path, text, ("strategy", key), os.environ)
    also = "; for hours that go with every kind, write `hours` under [conditions]" if key == "windows" else ""
    raise BadSettings(
        f'{place}: strategy.{key} belongs to the kind "{kind}", and the kind is "{strategy.kind}"',
        hint=f'write kind = "{kind}", or take {key} out{also}',
    )


def _known_keys() -> dict[str, list[str]]:
    """The keys of each section; those of the top level under an empty name."""
    keys = {"": list(DeviceSettings.model_fields)}
    for name, field in DeviceSettings.model_fields.items():
        kind = (*get_args(field.annotation), field.annotation)[0]  # of an entry, where there are several
        if isinstance(kind, type) and issubclass(kind, Section):
            keys[name] = list(kind.model_fields)
        elif isinstance(kind, type) and is_dataclass(kind):
            keys[name] = [field.name for field in fields(kind)]
    return keys
