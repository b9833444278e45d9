"""docs/FEEDBACK.md, and docs/PROTOCOL.md of feedback, agree with the code: tables and
numbers.
"""

from __future__ import annotations

from device_client.feedback import drift_detector as drift
from device_client.serving.feedback_history import QUALITY_MIN, RECENT_MAX
from device_client.serving.live_serving import SAMPLE_EVERY
from device_client.settings.sections import FeedbackSection
from protocol.feedback.aggregation import CLASSES_MAX, CONFIDENCE_BINS
from protocol.feedback.input_profile import LEVEL_BINS, SEGMENTS_MAX
from protocol.messages.device import Feedback
from tests.pages import page

SUBJECT = {"model", "version", "device", "variant", "v"}


def test_of_every_field_it_is_told_how_it_merges() -> None:
    rows = page("docs/PROTOCOL.md").table("field", "in a merged window")
    shown = [name.strip("`") for row in rows for name in row[0].split(", ")]
    assert sorted(shown) == sorted(Feedback.model_fields.keys() - SUBJECT)


def test_the_detectors_numbers_are_those_of_the_code() -> None:
    rows = page("docs/FEEDBACK.md").table("what", "value")
    assert {row[0]: float(row[1]) for row in rows} == {
        "slack": drift.SLACK, "limit": drift.LIMIT, "reach": drift.REACH, "learn": drift.LEARN, "calm": drift.CALM
    }  # fmt: skip


def test_the_numbers_in_its_sentences_are_those_of_the_code() -> None:
    text = " ".join(f"{page('docs/FEEDBACK.md').text} {page('docs/PROTOCOL.md').text}".split())
    for sentence in (
        f"beyond {CLASSES_MAX} classes",
        f"{CONFIDENCE_BINS} bins from 0 to 1",
        f"every `look_every`-th input ({FeedbackSection().look_every})",
        f"fits into {FeedbackSection().budget_bytes:,} bytes",
        f"the k-th of {SEGMENTS_MAX} equal stretches",
        f"floor(level) + {LEVEL_BINS // 2}, at least 0, at most {LEVEL_BINS - 1}",
        f"accuracy and agreement from {QUALITY_MIN} labelled or compared inputs on",
    ):
        assert sentence in text
    assert FeedbackSection().look_every == SAMPLE_EVERY
    assert RECENT_MAX == 10
    assert "the ten latest closed ones" in text
