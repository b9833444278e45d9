"""`device.toml`: read once, checked whole, refused with the line to fix. Environment variables and flags come over it.

`EDGEFERRY_BROKER` and the like override top-level keys; what a section may hold is told by the classes of
`device_client.core.policy`.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import fields, replace
from datetime import tzinfo
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from device_client.adapters.probes.clock import system_zone, zone_of
from device_client.adapters.probes.sources import Sources
from device_client.complaint import ENVIRONMENT, complain, first_unreal, where
from device_client.core.policy import (
    YEAR_S,
    Conditional,
    DownloadLimits,
    Hours,
    Pause,
    Periodic,
    Policy,
    Positive,
    Seconds,
    Share,
    Smart,
    Strategy,
    Thresholds,
    TrialLimits,
)
from device_client.ports import Delegate
from protocol.broker_url import BrokerUrl
from protocol.encodings import known_here
from protocol.errors import BadSettings
from protocol.shortening import WINDOW_MAX_BYTES
from protocol.topics import LINE_MAX_BYTES
from protocol.wire import Name

OF_KIND: Final[dict[str, tuple[str, ...]]] = {
    "periodic": ("every_s", "windows"),
    "conditional": ("hold_s", "recheck_s"),
    "smart": ("interval_min_s", "interval_max_s", "quality_good", "quality_bad", "comfort_score", "inferences_min"),
}
"""The settings that only one kind of strategy knows."""


class Section(BaseModel):
    """A section of the file; a key that it does not know is a typo."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DelegateSection(Section):
    """One of `delegates`: a library by its path, or by a name that the system finds."""

    library: Annotated[str, Field(min_length=1)]
    options: dict[str, bool | int | float | str] = Field(default_factory=dict)

    def delegate(self) -> Delegate:
        """As the runtime takes it: every option is a text."""
        return Delegate(self.library, tuple((key, _as_option(value)) for key, value in self.options.items()))


class ModelSection(Section):
    """`[[models]]`: one model that this device runs."""

    name: Name
    variant: Name | None = None
    prefer: Literal["accuracy", "size"] = "accuracy"
    memory_budget_mb: float | None = Field(default=None, gt=0)
    latency_budget_ms: float | None = Field(default=None, gt=0)
    cpu_budget_percent: float | None = Field(default=None, gt=0)
    inferences_per_s: float | None = Field(default=None, gt=0)
    variant_recheck_s: Annotated[float, Field(ge=1, le=YEAR_S)] = 3_600.0
    threads: int = Field(default=1, ge=1, le=64)
    delegates: tuple[DelegateSection, ...] = Field(default=(), max_length=8)
    mqtt_inference: bool = False
    on_swap: tuple[str, ...] = ()
    on_swap_timeout_s: Annotated[float, Field(gt=0, le=86_400)] = 60.0

    def opened_on(self) -> tuple[Delegate, ...]:
        """The hardware that it is to run on, in the runtime's terms; none is the processor."""
        return tuple(section.delegate() for section in self.delegates)

    def beside(self, folder: Path) -> Self:
        """The same with every path made absolute: they are told relative to the settings file."""
        delegates = tuple(
            section.model_copy(update={"library": _beside(folder, section.library)}) for section in self.delegates
        )
        on_swap = (_beside(folder, self.on_swap[0]), *self.on_swap[1:]) if self.on_swap else ()
        return self.model_copy(update={"delegates": delegates, "on_swap": on_swap})

    @model_validator(mode="after")
    def _cpu_budget_has_a_rate(self) -> Self:
        if (self.cpu_budget_percent is None) != (self.inferences_per_s is None):
            raise ValueError(
                "cpu_budget_percent and inferences_per_s go together: so much of a core, at so many a second"
            )
        return self

    def latency_max_ms(self) -> float | None:
        """What an inference may take: by its own budget, and by the share of a core that all of them may take."""
        budgets_ms = [] if self.latency_budget_ms is None else [self.latency_budget_ms]
        if self.cpu_budget_percent is not None and self.inferences_per_s is not None:
            budgets_ms.append(1_000 * self.cpu_budget_percent / 100 / self.inferences_per_s)
        return min(budgets_ms, default=None)


class StrategySection(Section):
    """`[strategy]`: when to begin."""

    kind: Literal["periodic", "conditional", "smart"] = "conditional"
    every_s: Seconds = 6 * 3600.0
    windows: Hours = ()
    zone: str | None = None
    hold_s: Seconds = 0.0
    recheck_s: Pause = 30.0
    interval_min_s: Pause = 900.0
    interval_max_s: Pause = 86_400.0
    quality_good: Share = 0.95
    quality_bad: Share = 0.75
    comfort_score: Share = 0.2
    inferences_min: Positive = 30

    @field_validator("zone")
    @classmethod
    def _is_a_zone(cls, name: str | None) -> str | None:
        if name is not None:
            zone_of(name)
        return name

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.interval_min_s > self.interval_max_s:
            raise ValueError("interval_min_s is over interval_max_s")
        if self.quality_bad >= self.quality_good:
            raise ValueError("quality_bad must be under quality_good")
        return self

    def foreign(self) -> tuple[str, str] | None:
        """A key that was given although it belongs to another kind, and to which."""
        others = ((key, kind) for kind, keys in OF_KIND.items() if kind != self.kind for key in keys)
        return next(((key, kind) for key, kind in others if key in self.model_fields_set), None)

    def local_zone(self) -> tzinfo:
        """Where the windows' clock hangs."""
        return zone_of(self.zone) if self.zone else system_zone()

    def strategy(self) -> Strategy:
        """The strategy in the core's terms."""
        if self.kind == "periodic":
            return Periodic(self.every_s, self.windows)
        if self.kind == "smart":
            return Smart(
                self.interval_min_s,
                self.interval_max_s,
                self.quality_good,
                self.quality_bad,
                self.comfort_score,
                self.inferences_min,
            )
        return Conditional(self.hold_s, self.recheck_s)


class FeedbackSection(Section):
    """`[feedback]`: how often a window is closed and reported, and what it may take of time and disk."""

    every_s: Pause = 60.0
    look_every: Annotated[int, Field(ge=1)] = 8
    window_max_bytes: Annotated[int, Field(ge=768, le=LINE_MAX_BYTES)] = WINDOW_MAX_BYTES
    budget_bytes: Annotated[int, Field(ge=32_768)] = 262_144


class TlsSection(Section):
    """`[tls]`: files for mqtts; relative to the folder of the settings file."""

    ca: Path | None = None
    cert: Path | None = None
    key: Path | None = None


class DeviceSettings(BaseSettings):
    """The whole file."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid", env_prefix=ENVIRONMENT, env_nested_delimiter="__")

    device: Name
    groups: tuple[Name, ...] = ()
    broker: str = "mqtt://127.0.0.1:1883"
    user: str | None = None
    password: SecretStr | None = None
    root: Path = Path("root.json")
    topic_root: Name = "fleet"
    state: Path = Path("state")
    probe_file: Path | None = None
    models: tuple[ModelSection, ...] = Field(default=(ModelSection(name="digits"),), min_length=1, max_length=32)
    strategy: StrategySection = StrategySection()
    conditions: Thresholds = Field(default_factory=Thresholds)
    probes: Sources = Field(default_factory=Sources)
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
    parts = {"conditions": Thresholds, "probes": Sources, "download": DownloadLimits, "trial": TrialLimits}
    keys = {"": list(DeviceSettings.model_fields)}
    keys |= {name: list(section.model_fields) for name, section in sections.items()}
    return keys | {name: [field.name for field in fields(part)] for name, part in parts.items()}


def _beside(folder: Path, program: str) -> str:
    """A path; what has no slash is looked for by the system, as a shell does."""
    return str(folder / program) if "/" in program else program


def _as_option(value: bool | float | str) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
