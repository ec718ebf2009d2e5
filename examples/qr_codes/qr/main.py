"""Make QR codes, with a package that the runner doesn't have: see requirements.txt."""

from io import BytesIO

import segno

from aioparcs import serve


def encode(text: str) -> bytes:
    """Give the QR code of a text as a PNG."""
    file = BytesIO()
    segno.make(text, micro=False).save(file, kind="png", scale=4, dark="#1c3f60")
    return file.getvalue()


serve(encode)
