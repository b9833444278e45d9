"""`device.toml`: read once, checked whole, refused with the line to fix. Environment variables and flags come over it.

`EDGEFERRY_BROKER` and the like override top-level keys; what a section may hold is told by the classes of
`device_client.settings.sections` and `device_client.core.policy`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from device_client.adapters.sensors.probe_settings import ProbeSettings
from device_client.core.policy import (
    DownloadLimits,
    Policy,
    Thresholds,
    TrialLimits,
)
from device_client.settings.error_text import ENVIRONMENT, complain, first_unreal, where
from device_client.settings.sections import FeedbackSection, ModelSection, Section, StrategySection, TlsSection
from protocol.content.encodings import known_here
from protocol.errors import BadSettings
from protocol.messages.base import Name
from protocol.mqtt.broker_url import BrokerUrl


class DeviceSettings(BaseSettings):
    """The whole file."""

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
        """The core's policy for one of the models."""
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
    """Read a settings file; flags that are None do not count. Raises BadSettings that names the file and the line."""
    text, content = _read(path)

    class FromThisFile(DeviceSettings):
        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the signature is pydantic's
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            return init_settings, env_settings, _Toml(settings_cls, content)

    try:
        settings = FromThisFile(**{name: value for name, value in flags.items() if value is not None})
        settings.broker_url()
    except ValidationError as refused:
        raise complain(path, text, refused, _known_keys(), os.environ) from None
    except BadSettings as refused:
        raise BadSettings(f"{_source_of_broker(path, text, flags)}{refused.message}", hint=refused.hint) from None
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
            "models": tuple(section.beside(folder) for section in settings.models),
        }
    )


class _Toml(PydanticBaseSettingsSource):
    """The parsed file as a source of settings, below environment and flags."""

    def __init__(self, settings_cls: type[BaseSettings], content: dict[str, Any]) -> None:
        super().__init__(settings_cls)
        self._content = content

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ARG002 - pydantic's
        return self._content.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._content


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
    if unreal := first_unreal(content):
        key = ".".join(str(part) for part in unreal if isinstance(part, str))
        raise BadSettings(f"{where(path, text, unreal, {})}: {key}: a finite number is wanted")
    return text, content


def _source_of_broker(path: Path, text: str, flags: Mapping[str, Any]) -> str:
    """Whose address it was; that of a flag is on the screen already."""
    return "" if flags.get("broker") else f"{where(path, text, ('broker',), os.environ)}: "


def _check_names(path: Path, settings: DeviceSettings) -> None:
    names = [section.name for section in settings.models]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise BadSettings(f"{path}: the model {twice!r} is named twice", hint="leave one [[models]] of that name")


def _check_kind(path: Path, text: str, strategy: StrategySection) -> None:
    """A key that would do nothing is refused: who wrote it believes that it does."""
    foreign = strategy.foreign()
    if foreign is None:
        return
    key, kind = foreign
    place = where(path, text, ("strategy", key), os.environ)
    also = "; for hours that go with every kind, write `hours` under [conditions]" if key == "windows" else ""
    raise BadSettings(
        f'{place}: strategy.{key} belongs to the kind "{kind}", and the kind is "{strategy.kind}"',
        hint=f'write kind = "{kind}", or take {key} out{also}',
    )


def _known_keys() -> dict[str, list[str]]:
    sections: dict[str, type[Section]] = {
        "models": ModelSection,
        "strategy": StrategySection,
        "feedback": FeedbackSection,
        "tls": TlsSection,
    }
    parts = {"conditions": Thresholds, "probes": ProbeSettings, "download": DownloadLimits, "trial": TrialLimits}
    keys = {"": list(DeviceSettings.model_fields)}
    keys |= {name: list(section.model_fields) for name, section in sections.items()}
    return keys | {name: [field.name for field in fields(part)] for name, part in parts.items()}
