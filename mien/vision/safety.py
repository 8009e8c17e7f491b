"""Check the bytes of a picture before decoding: format, orientation, and whether it is safe.

A limit on pixels is not enough: a JPEG of 29 kB may hold a thousand scans, each of which takes as
long as a whole picture; a PNG of 49 kB may hold a text of 50 MB, and a TIFF ten thousand tags that
all refer to the same megabytes. Pillow reads these in Python loops that trust the file. So
segments, chunks, blocks and tags are counted here first, and parts of a JPEG or PNG without pixels
(texts, profiles, EXIF) are dropped. Every loop is limited and takes well under a second for 64 MB.
"""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import dataclass
from itertools import islice

from mien.errors import DataError
from mien.vision.foreign import named
from mien.vision.tags import HEADS, MAX_TAGS, byte_order, directory, orientation

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF", "PPM", "AVIF", "HEIF")

_MAX_SEGMENTS = 10_000  # of a JPEG; one holds at most 64 kB
_MAX_JUNK = 65_536  # bytes between the segments of a JPEG, where there should be none
_MAX_CHUNKS = 50_000  # of a PNG; a picture of 64 MB has some thousands
_MAX_TEXT = 1 << 20  # bytes of one compressed chunk of a PNG when inflated
_MAX_TEXTS = 8 << 20  # of all of them
_MAX_BLOCKS = 300_000  # of the first frame of a GIF; a block holds at most 255 bytes
_MAX_EXTENSIONS = 1 << 20  # bytes of comments and the like before it
_MAX_STRIPS = 200_000  # of a TIFF
_MAX_EXIF = 20  # blocks of EXIF data in an AVIF, where there is one
_MAX_SLOW = 4 << 20  # bytes of formats that are decoded in Python: text PNM, run-length BMP

_MP_ENTRIES = 0xB002  # the index of the pictures in a JPEG of several, 16 bytes each
_SUB_DIRECTORIES = (0x8769, 0x8825, 0xA005)  # EXIF, GPS, interoperability
_STRIPS = (273, 279, 324, 325)  # offsets and sizes of strips and tiles
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"
_PNG_PIXEL_CHUNKS = (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND")
# Without the markers that have no body.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])", re.DOTALL)
_PNM_HEADER = re.compile(rb"P[1-6](?:\s|#[^\n]*\n)+\d+")
_OTHER_DOCUMENT = re.compile(
    rb"\s{0,9}(?:PK\x03\x04|%PDF-|<[!?a-z]|#!|MZ|\x7fELF|Rar!|7z\xbc\xaf)", re.IGNORECASE
)
# Marks of gain maps and depth maps, which lie beside the picture in a JPEG.
_AUXILIARY = re.compile(rb"hdr-?gain-?map|iso:ts:21496|AuxiliaryImageType", re.IGNORECASE)
_MAX_PICTURES = 64  # of a JPEG with several that are looked at
_FILL = b"\xff" * 65_536
# The signature near the end of a zip archive, and its greatest distance from the end in bytes.
_ZIP_END, _ZIP_TAIL = b"PK\x05\x06", 65_557


@dataclass(frozen=True)
class Container:
    """A file that may be decoded.

    Attributes:
        kind: One of `FORMATS`.
        data: The bytes to decode; of a JPEG or PNG only the parts that its pixels need.
        orientation: As in EXIF, 1 to 8; None if only the decoder knows.
        frames: Whether it has several; None if only the decoder knows.
        num_frames: The number of pictures in a JPEG (MPO), of which `data` has the first.
    """

    kind: str
    data: bytes
    orientation: int | None = None
    frames: bool | None = None
    num_frames: int = 1


def inspect(data: bytes, where: str, *, max_scans: int) -> Container:
    """Recognise the format of a picture, and refuse files that would be costly to decode.

    Args:
        data: The whole file.
        where: Its name, for errors.
        max_scans: How many scans a JPEG may have.

    Raises:
        DataError: if it is not a picture, a decompression bomb, or both a picture and a document.
    """
    kind = kind_of(data)
    if kind == "JPEG":
        return _jpeg(data, where, max_scans)
    if kind == "PNG":
        return _png(data, where)
    if kind == "WEBP":
        return Container(kind, data, _orientation_of_webp(data))
    if kind == "GIF":
        return Container(kind, data, 1, gif_has_frames(data, where))
    if kind == "TIFF":
        _check_tags(data, 0, where)
        return Container(kind, data, 1)  # Pillow itself applies the orientation
    if kind in ("AVIF", "HEIF"):
        exif = re.finditer(rb"II\*\0|MM\0\*", data)  # EXIF may lie anywhere
        heads = [match.start() for match in islice(exif, _MAX_EXIF + 1)]
        if len(heads) > _MAX_EXIF:
            raise bad_picture(where, f"{kind} with more than {_MAX_EXIF} blocks of EXIF data")
        for head in heads:
            _check_tags(data, head, where)
        return Container(kind, data)
    if kind == "BMP":
        if len(data) > _MAX_SLOW and data[30:34] in (b"\1\0\0\0", b"\2\0\0\0"):
            raise bad_picture(where, "a large BMP with run-length encoding", fix="save it as PNG")
        return Container(kind, data, 1, False)
    if kind == "PPM":
        if data[1:2] in b"123" and len(data) > _MAX_SLOW:
            raise bad_picture(where, "a large picture written as text", fix="save it as PNG")
        return Container(kind, data, 1, False)
    if what_and_fix := named(data):
        raise bad_picture(where, f"{what_and_fix[0]}, not a picture", what_and_fix[1])
    raise bad_picture(where, "a file that is not a picture")


def bad_picture(where: str, got: str, fix: str = "replace or remove the file") -> DataError:
    """The error for a file that is not a whole picture."""
    return DataError(where, got=got, expected="a whole picture: " + ", ".join(FORMATS), fix=fix)


def kind_of(data: bytes) -> str | None:
    """Pillow's name of the format, recognised by the first bytes."""
    if data.startswith(b"\xff\xd8\xff"):
        return "JPEG"
    if data.startswith(_PNG_HEAD):
        return "PNG"
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data.startswith(b"RIFF") and data[8:12] == b"WEBP":
        return "WEBP"
    if data.startswith(b"BM"):
        return "BMP"
    if data.startswith(HEADS):
        return "TIFF"
    if data[4:8] == b"ftyp":
        brands = data[8 : 8 + min(128, max(0, int.from_bytes(data[:4], "big") - 8))]
        if b"avif" in brands or b"avis" in brands:
            return "AVIF"
        if any(
            brand in brands
            for brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")
        ):
            return "HEIF"
    if _PNM_HEADER.match(data[:4096]):
        return "PPM"
    return None


def _jpeg(data: bytes, where: str, max_scans: int) -> Container:
    """Read the markers: count scans, drop parts without pixels, find the orientation."""
    # libjpeg returns what it cannot use yet, and Pillow copies that again with every read.
    if _FILL in data:
        raise bad_picture(where, "a JPEG with very many fill bytes")
    parts = [b"\xff\xd8"]
    position, num_segments, num_scans, num_junk = 2, 0, 0, 0
    turned, num_pictures = 1, 1
    while (match := _JPEG_MARKER.search(data, position)) is not None:
        marker, start = data[match.start() + 1], match.start()
        if marker == 0xD9:
            position = match.end()
            break
        if num_scans:
            if marker == 0xDA:
                num_scans += 1
                if num_scans > max_scans:
                    reason = f"a JPEG of more than {max_scans} scans"
                    raise bad_picture(where, reason, fix="save it again as a baseline JPEG")
        else:
            num_junk += start - position
        num_segments += 1
        if num_segments > _MAX_SEGMENTS or num_junk > _MAX_JUNK:
            raise bad_picture(
                where, "a JPEG with too many segments, or with other bytes between them"
            )
        length = int.from_bytes(data[match.end() : match.end() + 2], "big")
        position = match.end() + max(2, length)
        if num_scans:
            continue
        if marker == 0xDA:
            num_scans, pixels = 1, start
        elif marker in (0xE0, 0xEE) or not (0xE0 <= marker <= 0xEF or marker == 0xFE):
            parts.append(data[start:position])
        elif marker == 0xE1 and turned == 1 and data.startswith(b"Exif\0\0", match.end() + 2):
            turned = orientation(data[match.end() + 8 : position])
        elif marker == 0xE2 and data.startswith(b"MPF\0", match.end() + 2):
            num_pictures = _num_pictures(data, match.end() + 6)
    else:
        position = len(data)
    _refuse_second_document(data, position, where, "JPEG")
    if num_scans == 0:
        raise bad_picture(where, "a corrupt picture (a JPEG without pixels)")
    whole = b"".join((*parts, data[pixels:position]))
    return Container("JPEG", whole, turned, num_pictures > 1, num_pictures)


def _num_pictures(data: bytes, base: int) -> int:
    """The number of pictures in a JPEG of several (MPO), as stereo cameras write it, by its index
    (CIPA DC-007), without previews, gain maps and depth maps.
    """
    order = "<" if byte_order(data, base) == "little" else ">"
    for tag in directory(data, base):
        if tag.number != _MP_ENTRIES:
            continue
        number = 1
        end = tag.place + min(tag.num_values, 16 * _MAX_PICTURES)
        for place in range(tag.place + 16, end, 16):
            attributes, length, offset = struct.unpack(
                order + "III", data[place : place + 12].ljust(12, b"\0")
            )
            head = data[base + offset : base + offset + min(length, 65_536)]
            is_preview = attributes >> 16 & 0xFF == 1
            if head.startswith(b"\xff\xd8") and not is_preview and not _AUXILIARY.search(head):
                number += 1
        return number
    return 1


def _png(data: bytes, where: str) -> Container:
    """Read the chunks: count them, inflate compressed texts up to a limit, find the orientation."""
    parts = [_PNG_HEAD]
    position, num_chunks, total, turned, frames = 8, 0, 0, 1, False
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        start, position = position, position + 12 + length
        num_chunks += 1
        if num_chunks > _MAX_CHUNKS:
            raise bad_picture(where, f"a PNG of more than {_MAX_CHUNKS:,} chunks")
        if kind in _PNG_PIXEL_CHUNKS or not kind.isalpha():
            parts.append(data[start:position])
        elif kind in (b"zTXt", b"iTXt", b"iCCP"):
            total += _inflated_length(kind, data[start + 8 : position - 4], where)
            if total > _MAX_TEXTS:
                raise bad_picture(
                    where, f"a PNG whose compressed texts are longer than {_MAX_TEXTS >> 20} MB"
                )
        elif kind == b"eXIf":
            turned = orientation(data[start + 8 : position - 4])
        elif kind == b"acTL":
            frames = True
        if kind == b"IEND":
            break
    _refuse_second_document(data, position, where, "PNG")
    return Container("PNG", b"".join(parts), turned, frames)


def _inflated_length(kind: bytes, body: bytes, where: str) -> int:
    """The length of a chunk when inflated; its own length if it cannot be inflated."""
    packed = body.partition(b"\0")[2][1:]  # after the keyword and the method
    if kind == b"iTXt":  # keyword, 0, compressed, method, language, 0, translated keyword, 0, text
        if not body.partition(b"\0")[2].startswith(b"\1"):
            return 0
        packed = packed[1:].partition(b"\0")[2].partition(b"\0")[2]
    try:
        length = len(zlib.decompressobj().decompress(packed, _MAX_TEXT + 1))
    except zlib.error:
        return 0
    if length > _MAX_TEXT:
        raise bad_picture(
            where, f"a PNG with a compressed text or profile longer than {_MAX_TEXT >> 20} MB"
        )
    return length


def _refuse_second_document(data: bytes, end: int, where: str, kind: str) -> None:
    zipped = end < len(data) and data.rfind(_ZIP_END, max(end, len(data) - _ZIP_TAIL)) >= 0
    if zipped or _OTHER_DOCUMENT.match(data, end):
        raise bad_picture(where, f"a {kind} with a document after its end")


def _orientation_of_webp(data: bytes) -> int:
    position = 12
    for _ in range(1000):  # chunks; an animation has one for each frame, and EXIF comes after them
        if position + 8 > len(data):
            break
        kind, length = struct.unpack_from("<4sI", data, position)
        if kind == b"EXIF":
            exif = data[position + 8 : position + 8 + length]
            return orientation(exif.removeprefix(b"Exif\0\0"))
        position += 8 + length + length % 2
    return 1


def gif_has_frames(data: bytes, where: str) -> bool:
    """Whether a GIF has several frames; reads its blocks up to the second frame.

    Raises:
        DataError: for a GIF with too many blocks.
    """

    def after_table(position: int) -> int:
        flags = data[position - 1] if position <= len(data) else 0
        return position + (3 << (flags & 7) + 1 if flags & 0x80 else 0)

    position, num_blocks, num_frames = after_table(11) + 2, 0, 0
    before = position
    while position < len(data):
        kind = data[position]
        if kind == 0x3B:
            break
        if kind == 0x2C:
            num_frames += 1
            if num_frames == 2:
                break
            position = after_table(position + 10) + 1  # the size of a code follows
        elif kind == 0x21:
            before = position
            position += 2
        else:
            position += 1
            num_blocks += 1
        if kind in (0x2C, 0x21):
            while position < len(data) and data[position]:
                position += data[position] + 1
                num_blocks += 1
                if num_blocks > _MAX_BLOCKS:
                    break
            position += 1
            num_blocks += 1
        if num_blocks > _MAX_BLOCKS or (kind == 0x21 and position - before > _MAX_EXTENSIONS):
            raise bad_picture(where, "a GIF with too many blocks")
    return num_frames > 1


def _check_tags(data: bytes, base: int, where: str) -> None:
    """Refuse directories whose values are longer than the file together: they overlap, as in a
    decompression bomb.
    """
    total, ahead = 0, directory(data, base)
    for _ in range(8):
        tags, ahead = ahead, []
        if len(tags) > MAX_TAGS:
            raise bad_picture(where, f"a directory of more than {MAX_TAGS:,} tags")
        for tag in tags:
            total += tag.size if tag.place + tag.size <= len(data) else 0
            if tag.number in _STRIPS and tag.num_values > _MAX_STRIPS:
                raise bad_picture(where, f"a TIFF of more than {_MAX_STRIPS:,} strips")
            if tag.number in _SUB_DIRECTORIES and len(ahead) <= MAX_TAGS:
                place = data[tag.place : tag.place + 4]
                ahead += directory(data, base, int.from_bytes(place, byte_order(data, base)))
    if total > len(data) + 65_536:
        raise bad_picture(where, "tags (EXIF or TIFF) that are longer than the file")
