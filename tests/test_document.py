import re

import pytest

from aioparcs.wire import FrameType
from tests import document


def test_the_bytes_in_the_document_are_what_the_code_makes() -> None:
    text = document.PATH.read_text()
    assert document.written(text) == text, "python -m tests.document writes it anew"


@pytest.mark.parametrize("type", FrameType, ids=lambda type: type.name)
def test_every_frame_type_is_in_the_document(type: FrameType) -> None:
    assert re.search(rf"^\| [\d, /]*\b{type}\b[\d, /]*\| [A-Z, /]*\b{type.name}\b", document.PATH.read_text(), re.M)
