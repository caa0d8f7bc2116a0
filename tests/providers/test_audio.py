"""How long uploaded audio lasts, from its own headers."""

from __future__ import annotations

import io
import struct
import wave

import pytest

from spectra_otel.instrumentors.bodies import form_value, read_request_body, upload_of
from spectra_otel.providers.base import Upload
from spectra_otel.providers.wire.audio import seconds


def wav(length: float, rate: int = 8000) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(b"\0\0" * round(length * rate))
    return out.getvalue()


STREAMED_WAV = bytearray(wav(3.7))
struct.pack_into("<I", STREAMED_WAV, 40, 0xFFFFFFFF)
FLAC = b"fLaC\0\0\0\x22" + bytes(10) + ((44_100 << 44) | (1 << 41) | (15 << 36) | 88_200).to_bytes(8, "big") + bytes(16)
OPUS = b"OggS" + bytes(24) + b"OpusHead" + bytes(100) + b"OggS\0\4" + struct.pack("<q", 96_000) + bytes(12)
MP3 = b"ID3\4\0\0\0\0\0\0" + b"\xff\xfb\x90\x00" + bytes(16_000 * 2 - 4)


@pytest.mark.parametrize(("data", "length"), [
    (wav(2.5), 2.5), (bytes(STREAMED_WAV), 3.7), (FLAC, 2.0), (OPUS, 2.0), (MP3, 2.0),
    (b"not audio at all", None), (b"RIFF", None), (b"\xff\xfb", None), (b"", None),
])  # fmt: skip
def test_a_length_is_known_or_it_is_not(data, length):
    """WAV, also streamed, FLAC, Opus and MP3; a guess is never made."""
    assert seconds(upload_of(data)) == (pytest.approx(length) if length is not None else None)


def test_a_file_of_a_form_is_found(tmp_path):
    """In a body that is in memory, and in an open file, which stays where it was."""
    body = b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n' + (
        b'--b\r\nContent-Disposition: form-data; name="file"; filename="a.wav"\r\n\r\n' + wav(1.5) + b"\r\n--b--\r\n"
    )
    fields = read_request_body(body, "multipart/form-data; boundary=b")
    assert (fields["model"], seconds(fields["file"])) == ("whisper-1", 1.5)
    path = tmp_path / "a.wav"
    path.write_bytes(wav(4.0))
    with path.open("rb") as file:
        file.seek(10)
        found = form_value(file)
        assert (seconds(found), file.tell()) == (4.0, 10)


def test_what_cannot_go_back_is_not_touched():
    """A generator or a socket is the client's alone."""
    assert form_value(iter([b"a"])) is None
    assert isinstance(form_value(b"abc"), Upload)
