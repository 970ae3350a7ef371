"""Small images that stand in the page itself."""

from __future__ import annotations

import base64
import re
import struct
import zlib

_BEGIN = "data:image/png;base64,"


def png_address(pixels: bytes, width: int, height: int, *, colours: bool) -> str:
    """An image as an address that holds all of it.

    Args:
        pixels: One byte per grey value, or three per pixel for red, green and blue, row by row from above.
        width: Pixels per row.
        height: Rows.
        colours: Whether a pixel is three bytes.

    Returns:
        `data:image/png;base64,…`.

    Source: PNG specification (third edition, W3C 2025), chunks IHDR, IDAT and IEND; filter 0, 8 bits.

    Example:
        >>> png_address(bytes([0, 255]), 2, 1, colours=False)[:22]
        'data:image/png;base64,'
    """
    line = width * (3 if colours else 1)
    rows = b"".join(b"\0" + pixels[begin : begin + line] for begin in range(0, line * height, line))
    head = struct.pack(">IIBBBBB", width, height, 8, 2 if colours else 0, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    return _BEGIN + base64.b64encode(png).decode()


def is_png_address(text: str) -> bool:
    """Whether a text is such an address: whatever else a result holds in its place is not put into a page.

    Example:
        >>> is_png_address("data:image/png;base64,AAAA"), is_png_address("https://example.org/x.png")
        (True, False)
    """
    return text.startswith(_BEGIN) and re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text[len(_BEGIN) :]) is not None
