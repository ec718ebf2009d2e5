from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _own_histories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
