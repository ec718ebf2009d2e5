from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("s")
    monkeypatch.setenv("XDG_STATE_HOME", str(folder))
    return folder
