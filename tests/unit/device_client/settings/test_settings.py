"""`device.toml`: each mistake is reported with its place and its way out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from device_client.core.policy import Conditional, Periodic, TimeWindow
from device_client.settings.loader import DeviceSettings, load
from device_client.settings.sections import OF_KIND, StrategySection
from protocol.errors import BadSettings

GOOD = 'device = "pi-1"\n'


def read(folder: Path, text: str, **flags: object) -> DeviceSettings:
    path = folder / "device.toml"
    path.write_text(text)
    return load(path, **flags)


def refused(folder: Path, text: str, **flags: object) -> BadSettings:
    with pytest.raises(BadSettings) as caught:
        read(folder, text, **flags)
    return caught.value


WRONG = {
    "a typo": ('brokr = "mqtt://x"', "line 2: there is no setting 'brokr'", "did you mean 'broker'?"),
    "a typo in a section": ("[download]\nwindows = 9", "line 3: there is no setting 'download.windows'", "'window'?"),
    "an entry's typo": ('[[models]]\nname = "a"\nthread = 2', "line 4: there is no setting 'models.thread'", "threads"),
    "a section's typo": ("[trails]\npoll_s = 1", "line 2: there is no setting 'trails'", "did you mean 'trial'?"),
    "another section's key": ("[trial]\nwindow = 9", "line 3: there is no setting 'trial.window'", "into [download]"),
    "a wrong type": ('[trial]\npoll_s = "often"', "line 3: trial.poll_s: a number is wanted", ""),
    "a number for a text": ("broker = 5", "line 2: broker: a text in quotes is wanted", ""),
    "a part for a whole": ("[trial]\nerrors_max = 1.5", "line 3: trial.errors_max: a whole number is wanted", ""),
    "a text for a list": ('[strategy]\nwindows = "22:00-06:00"', "line 3: strategy.windows: a list is wanted", ""),
    "a section for a key": ("download = 3", "line 2: download: a section is wanted", ""),
    "too much": ("[download]\nwindow = 99", "line 3: download.window: it should be less than or equal to 32", ""),
    "too little": ("[trial]\nagreement_min = -0.1", "line 3: trial.agreement_min: it should be greater than", ""),
    "no such choice": ('[strategy]\nkind = "smrt"', "line 3: strategy.kind: it should be 'periodic', 'cond", ""),
    "no such condition": ('[conditions]\nunknown_of.baterie = "defer"', "line 3: there is no setting 'condit", ""),
    "no such zone": ('[strategy]\nzone = "Europe/Berln"', "3: strategy.zone: there is no time zone 'Europe/Berln'", ""),
    "no such probe": ("[probes]\npisuger = ''", "3: there is no setting 'probes.pisuger'", "mean 'pisugar'?"),
    "time without end": ("[trial]\nproof_wall_max_s = 1e300", "line 3: trial.proof_wall_max_s: it should be less", ""),
    "no time at all": ("[trial]\nproof_wall_max_s = 0", "line 3: trial.proof_wall_max_s: it should be greater", ""),
    "a pause of ages": ("[feedback]\nevery_s = 1e12", "line 3: feedback.every_s: it should be less", ""),
    "ages between retries": ("[download]\nstalled_retry_s = 1e12", "line 3: download.stalled_retry_s: it should", ""),
    "bytes beyond count": ("[trial]\nproof_memory_max_bytes = 9223372036854775807", "line 3: trial.proof_memory_m", ""),
    "colder than cold": ("[conditions]\ntemperature_max_c = -400", "line 3: conditions.temperature_max_c: it sho", ""),
    "less than nothing": ("[trial]\nlatency_ratio_max = -1", "line 3: trial.latency_ratio_max: it should be gr", ""),
    "less than no time": ("[trial]\nlatency_floor_ms = -1", "line 3: trial.latency_floor_ms: it should be gr", ""),
    "first over last": (
        "[download]\nretry_max_s = 5",
        "line 2: download: retry_min_s (10) is over retry_max_s (5)",
        "",
    ),
    "floor over ceiling": ("[strategy]\ninterval_min_s = 1e6", "line 2: strategy: interval_min_s is over", ""),
    "bad over good": ("[strategy]\nquality_bad = 1", "line 2: strategy: quality_bad must be under quality_good", ""),
    "shares the wrong way": ("[trial]\nagreement_good = 0.7", "line 2: trial: agreement_good must be over agree", ""),
    "a probation too long": ("[trial]\nprobation_min_s = 1e5", "2: trial: probation_deadline_s is under probat", ""),
    "a rate like a coin's": ("[trial]\nworse_adopted_max = 0.7", "line 3: trial.worse_adopted_max: it should be", ""),
    "a key that moved": ("[feedback]\nshadow_share = 0.5", "no setting 'feedback.shadow_share'", "into [trial]"),
    "windows with smart": (
        '[strategy]\nkind = "smart"\nwindows = ["03:00-04:00"]',
        'line 4: strategy.windows belongs to the kind "periodic", and the kind is "smart"',
        "write `hours` under [conditions]",
    ),
    "windows of no kind": (
        '[strategy]\nwindows = ["03:00-04:00"]',
        'line 3: strategy.windows belongs to the kind "periodic", and the kind is "conditional"',
        'write kind = "periodic", or take windows out',
    ),
    "a hold of periodic": (
        '[strategy]\nkind = "periodic"\nhold_s = 9',
        'line 4: strategy.hold_s belongs to the kind "conditional", and the kind is "periodic"',
        'write kind = "conditional"',
    ),
    "a score of periodic": (
        '[strategy]\nkind = "periodic"\ncomfort_score = 0.5',
        'strategy.comfort_score belongs to the kind "smart"',
        'write kind = "smart"',
    ),
    "hours of no day": ('[conditions]\nhours = ["6-22"]', "line 3: conditions.hours: a stretch of local time is", ""),
    "hours of no list": ('[conditions]\nhours = "06:00-22:00"', "line 3: conditions.hours: a list is wanted", ""),
    "no such hour": ('[strategy]\nwindows = ["25:00-26:00"]', "a stretch of local time is wanted, such as 22:00", ""),
    "a late end": ('[strategy]\nwindows = ["22:00-24:30"]', "line 3: strategy.windows: a stretch of local time", ""),
    "not a number": ("[strategy]\nevery_s = nan", "line 3: strategy.every_s: a finite number is wanted", ""),
    "for ever": ("[trial]\npoll_s = inf", "line 3: trial.poll_s: a finite number is wanted", ""),
    "no model": ("models = []", "line 2: models: at least one is wanted", ""),
    "a nameless model": ("[[models]]\nthreads = 2", "line 2: the setting 'models.name' is missing", ""),
    "the same twice": ('[[models]]\nname = "a"\n[[models]]\nname = "a"', "the model 'a' is named twice", "leave one"),
    "the second of two": (
        '[[models]]\nname = "a"\nthreads = 1\n[[models]]\nname = "b"\nthreads = 0',
        "line 7: models.threads: it should be",
        "",
    ),
    "a name no topic takes": ('[[models]]\nname = "A/B"', "line 3: models.name: 1 to 64 of a-z, 0-9", ""),
    "no broker's address": ('broker = "http://x"', "line 2: the broker address 'http://x' does not begin", "mqtt://"),
    "no port": ('broker = "mqtt://x:99999"', "line 2: the broker address", "write mqtt://host"),
    "no TOML": ("device == 3", "is not TOML", ""),
    "twice": ('device = "b"', "is not TOML", ""),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_a_mistake_is_told_with_its_line_and_its_way_out(tmp_path: Path, case: str) -> None:
    text, told, hint = WRONG[case]
    error = refused(tmp_path, GOOD + text)
    assert error.message.startswith(str(tmp_path / "device.toml"))
    assert told in error.message
    assert hint in error.hint
    assert error.exit_code == 2


def test_a_missing_name_is_missed_by_name(tmp_path: Path) -> None:
    assert "'device'" in refused(tmp_path, 'broker = "mqtt://x"').message


def test_a_missing_file_says_who_writes_one(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match=re.escape(str(tmp_path / "device.toml"))) as caught:
        load(tmp_path / "device.toml")
    assert "publisher enroll" in caught.value.hint


def test_a_folder_or_a_file_of_bytes_is_no_settings_file(tmp_path: Path) -> None:
    with pytest.raises(BadSettings, match="Is a directory"):
        load(tmp_path)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(BadSettings, match="UTF-8"):
        load(tmp_path / "bytes")


def test_no_message_shows_the_password(tmp_path: Path) -> None:
    for text in ('password = "hunter2"\nbroker = 5', 'broker = "mqtt://me:hunter2@x:0"', 'password = ["hunter2"]'):
        assert "hunter2" not in str(refused(tmp_path, GOOD + text))
    settings = read(tmp_path, GOOD + 'user = "me"\npassword = "hunter2"')
    assert "hunter2" not in repr(settings)
    assert settings.broker_url().password == "hunter2"


def test_paths_are_relative_to_the_file_and_not_to_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    settings = read(tmp_path, GOOD + 'state = "s"\nroot = "r.json"\nprobe_file = "/p.json"\n[tls]\nca = "ca.pem"')
    assert (settings.state, settings.root) == (tmp_path / "s", tmp_path / "r.json")
    assert (settings.probe_file, settings.tls.ca) == (Path("/p.json"), tmp_path / "ca.pem")


def test_flags_come_over_the_environment_and_that_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = GOOD + 'broker = "mqtt://file"'
    assert read(tmp_path, text).broker_url().host == "file"
    monkeypatch.setenv("EDGEFERRY_BROKER", "mqtt://environment")
    assert read(tmp_path, text).broker_url().host == "environment"
    assert read(tmp_path, text, broker="mqtt://flag").broker_url().host == "flag"
    assert read(tmp_path, text, broker=None).broker_url().host == "environment"


def test_a_mistake_in_the_environment_or_in_a_flag_is_not_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert refused(tmp_path, GOOD, broker="ftp://x").message.startswith("the broker address 'ftp://x'")
    monkeypatch.setenv("EDGEFERRY_DOWNLOAD__WINDOW", "many")
    told = "EDGEFERRY_DOWNLOAD__WINDOW in the environment: download.window: a whole number is wanted"
    assert refused(tmp_path, GOOD).message == told
    monkeypatch.delenv("EDGEFERRY_DOWNLOAD__WINDOW")
    monkeypatch.setenv("EDGEFERRY_BROKER", "ftp://x")
    assert refused(tmp_path, GOOD).message.startswith("EDGEFERRY_BROKER in the environment: the broker address")


def test_what_the_file_says_becomes_the_policy_of_each_model(tmp_path: Path) -> None:
    text = (
        GOOD + 'groups = ["canary"]\n[strategy]\nkind = "periodic"\nwindows = ["22:00-06:00", "12:00-24:00"]\n'
        '[download]\nwindow = 4\n[[models]]\nname = "digits"\n[[models]]\nname = "birds"\nmemory_budget_mb = 30\n'
    )
    settings = read(tmp_path, text)
    digits, birds = (settings.policy(section) for section in settings.models)
    assert (digits.model, digits.memory_budget_bytes, digits.groups) == ("digits", None, ("canary",))
    assert (birds.model, birds.memory_budget_bytes, birds.download.window) == ("birds", 30_000_000, 4)
    assert isinstance(digits.strategy, Periodic)
    assert digits.strategy.windows == (TimeWindow(1_320, 360), TimeWindow(720, 0))
    assert isinstance(read(tmp_path, GOOD).policy(settings.models[0]).strategy, Conditional)


def test_every_key_of_a_strategy_belongs_to_one_kind_or_to_all() -> None:
    owned = [key for keys in OF_KIND.values() for key in keys]
    assert sorted([*owned, "kind", "zone"]) == sorted(StrategySection.model_fields)


def test_a_key_of_another_kind_in_the_environment_is_not_blamed_on_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGEFERRY_STRATEGY__EVERY_S", "60")
    told = refused(tmp_path, GOOD).message
    assert told.startswith("EDGEFERRY_STRATEGY__EVERY_S in the environment: strategy.every_s belongs to the kind")


def test_hours_are_a_condition_whatever_the_strategy(tmp_path: Path) -> None:
    text = (
        GOOD
        + '[strategy]\nkind = "smart"\nzone = "Europe/Berlin"\n[conditions]\nhours = ["22:00-06:00", "12:00-24:00"]'
    )
    settings = read(tmp_path, text)
    assert settings.policy(settings.models[0]).thresholds.hours == (TimeWindow(1_320, 360), TimeWindow(720, 0))


def test_a_window_until_midnight_holds_until_midnight(tmp_path: Path) -> None:
    settings = read(tmp_path, GOOD + '[strategy]\nkind = "periodic"\nwindows = ["12:00-24:00"]')
    strategy = settings.strategy.strategy()
    assert isinstance(strategy, Periodic)
    assert [strategy.windows[0].holds(minute) for minute in (719, 720, 1_439, 0)] == [False, True, True, False]


def test_a_cpu_budget_at_a_rate_is_a_latency_budget_and_the_narrower_one_counts(tmp_path: Path) -> None:
    budget = '[[models]]\nname = "digits"\nmemory_budget_mb = 3.9\ncpu_budget_percent = 20\ninferences_per_s = 5\n'
    settings = read(tmp_path, GOOD + budget)
    policy = settings.policy(settings.models[0])
    assert (policy.latency_budget_ms, policy.memory_budget_bytes) == (40.0, 3_900_000)
    settings = read(tmp_path, GOOD + budget + "latency_budget_ms = 12\n")
    assert settings.policy(settings.models[0]).latency_budget_ms == 12.0
    alone = refused(tmp_path, GOOD + budget.replace("inferences_per_s = 5\n", ""))
    assert {"cpu_budget_percent", "inferences_per_s"} <= set(alone.message.split())
