"""No test of this folder needs a database, and none leaves a secret behind for the others' texts."""

from __future__ import annotations

import pytest

from dataops.redaction import redact


@pytest.fixture(autouse=True)
def _nothing_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "_secrets", set())
