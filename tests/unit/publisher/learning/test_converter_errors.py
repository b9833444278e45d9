"""The converter's pages of errors become one line with a way out."""

from __future__ import annotations

import pytest

from publisher.learning.conversion.converter_errors import conversion_error


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("'tf.TensorListReserve' op requires element_shape to be static", "a loop over time steps", "unroll=True"),
        (
            "'tf.Erfinv' op is neither a custom op",
            "needs Erfinv, which TensorFlow Lite does not have",
            "other operations",
        ),
        ("\n\nsomething else\nmore", "cannot be converted to TensorFlow Lite: something else", "Dense and Conv2D"),
    ],
)
def test_an_error_names_its_cause_in_one_line(text: str, said: str, hint: str) -> None:
    error = conversion_error(RuntimeError(text))
    assert said in error.message
    assert hint in error.hint
    assert "\n" not in str(error)
