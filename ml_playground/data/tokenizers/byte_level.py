"""How byte-level BPE writes bytes (the encoder.py of Radford et al. 2019, GPT-2)."""


def _byte_characters() -> dict[str, int]:
    """A printable character for each byte: its own, or the next one beyond 255."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + index): byte for index, byte in enumerate(others)}


BYTES = _byte_characters()
"""The byte that a character stands for."""
_CHARACTERS = {byte: character for character, byte in BYTES.items()}


def printable(token: bytes) -> str:
    """Bytes as these characters."""
    return "".join(_CHARACTERS[byte] for byte in token)
