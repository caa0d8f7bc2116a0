"""How long a piece of audio lasts, from its own headers: what a speech provider bills where its answer does not say."""

from __future__ import annotations

import struct

from spectra_otel.providers.base import Sent, Upload

_UNKNOWN_SIZE = 0xFFFFFFFF
_MP3_BITRATES = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
_MP3_BITRATES_LOW = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)
_MP3_RATES = {3: (44100, 48000, 32000), 2: (22050, 24000, 16000), 0: (11025, 12000, 8000)}


def sent_seconds(sent: Sent) -> float | None:
    """Seconds of the audio that a request carries; None where it carries none, or its headers do not tell."""
    upload = sent.upload or next((value for value in sent.body.values() if isinstance(value, Upload)), None)
    return None if upload is None else seconds(upload)


def seconds(upload: Upload) -> float | None:
    """Seconds of a WAV, FLAC, Ogg or MP3 file; None for others."""
    head = upload.head
    try:
        if head.startswith(b"RIFF") and head[8:12] == b"WAVE":
            return _wav(upload)
        if head.startswith(b"fLaC"):
            return _flac(head)
        if head.startswith(b"OggS"):
            return _ogg(upload)
        if head.startswith(b"ID3") or (head[:1] == b"\xff" and head[1] & 0xE0 == 0xE0):
            return _mp3(upload)
    except (struct.error, IndexError):
        return None
    return None


def _wav(upload: Upload) -> float | None:
    """Bytes of sound by bytes per second; a streamed file does not know its size, so the upload's counts."""
    head, at, rate = upload.head, 12, 0
    while at + 8 <= len(head):
        name, size = head[at : at + 4], struct.unpack_from("<I", head, at + 4)[0]
        if name == b"fmt ":
            rate = struct.unpack_from("<I", head, at + 16)[0]
        elif name == b"data":
            if size in (0, _UNKNOWN_SIZE) and upload.size is not None:
                size = upload.size - at - 8
            return size / rate if rate and size != _UNKNOWN_SIZE else None
        at += 8 + size + size % 2
    return None


def _flac(head: bytes) -> float | None:
    """STREAMINFO, the first block: 20 bits of sample rate, and 36 of the number of samples."""
    bits = int.from_bytes(head[18:26], "big")
    rate, samples = bits >> 44, bits & (1 << 36) - 1
    return samples / rate if rate and samples else None


def _ogg(upload: Upload) -> float | None:
    """The position that the last page names; Opus counts in 48 kHz whatever its rate."""
    last = upload.tail.rfind(b"OggS")
    if last < 0:
        return None
    position = struct.unpack_from("<q", upload.tail, last + 6)[0]
    if b"OpusHead" in upload.head[:512]:
        return position / 48_000 if position > 0 else None
    vorbis = upload.head.find(b"\x01vorbis")
    if vorbis < 0:
        return None
    rate = struct.unpack_from("<I", upload.head, vorbis + 12)[0]
    return position / rate if rate and position > 0 else None


def _mp3(upload: Upload) -> float | None:
    """Frames of the Xing or Info header where there is one; else the file's size by the bit rate of its first frame."""
    head, at = upload.head, 0
    if head.startswith(b"ID3"):
        size = 0
        for byte in head[6:10]:
            size = size << 7 | byte & 0x7F
        at = 10 + size
    while at + 4 <= len(head) and not (head[at] == 0xFF and head[at + 1] & 0xE0 == 0xE0):
        at += 1
    version, layer = head[at + 1] >> 3 & 3, head[at + 1] >> 1 & 3
    rates = _MP3_RATES.get(version)
    rate_index, bit_index = head[at + 2] >> 2 & 3, head[at + 2] >> 4
    if layer != 1 or rates is None or rate_index == 3 or not 0 < bit_index < 15:
        return None
    samples = 1152 if version == 3 else 576
    for word in (b"Xing", b"Info"):
        mark = head.find(word, at, at + 64)
        if mark >= 0 and head[mark + 7] & 1:
            return struct.unpack_from(">I", head, mark + 8)[0] * samples / rates[rate_index] or None
    bits = (_MP3_BITRATES if version == 3 else _MP3_BITRATES_LOW)[bit_index] * 1000
    return (upload.size - at) * 8 / bits if upload.size is not None else None
