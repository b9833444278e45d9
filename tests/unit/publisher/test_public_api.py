"""What a program may import from `publisher`, and that importing loads nothing."""

from __future__ import annotations

import subprocess
import sys

import pytest

import publisher


@pytest.mark.parametrize("name", publisher.__all__)
def test_every_public_name_resolves_and_is_documented(name: str) -> None:
    assert getattr(publisher, name).__name__ == name
    assert f"`{name}`" in str(publisher.__doc__)


def test_a_name_that_is_not_public_is_refused() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = publisher.nothing


def test_the_package_loads_no_library_until_a_name_is_used() -> None:
    program = "import sys, publisher; publisher.Registry; assert not {'tensorflow', 'numpy', 'rich'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
