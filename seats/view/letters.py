"""Letters for films: there is no font to rely on where a film is made, and these few patterns take no library."""

from __future__ import annotations

import numpy as np

HEIGHT, ADVANCE = 7, 6
"""Of a letter before scaling, pixels; the last column is the gap to the next."""
# Five bits a row, seven rows a letter, as on the displays of measuring devices.
_ROWS = {
    "A": "0E1111 1F111111", "B": "1E1111 1E11111E", "C": "0E1110 1010110E", "D": "1E1111 1111111E",
    "E": "1F1010 1E10101F", "F": "1F1010 1E101010", "G": "0E1110 1711110F", "H": "111111 1F111111",
    "I": "0E0404 0404040E", "J": "070202 0202120C", "K": "111214 18141211", "L": "101010 1010101F",
    "M": "111B15 15111111", "N": "111915 13111111", "O": "0E1111 1111110E", "P": "1E1111 1E101010",
    "Q": "0E1111 1115120D", "R": "1E1111 1E141211", "S": "0F1010 0E01011E", "T": "1F0404 04040404",
    "U": "111111 1111110E", "V": "111111 11110A04", "W": "111111 1515150A", "X": "11110A 040A1111",
    "Y": "11110A 04040404", "Z": "1F0102 0408101F",
    "a": "00000E 010F110F", "b": "10101E 1111111E", "c": "00000E 1010110E", "d": "01010F 1111110F",
    "e": "00000E 111F100E", "f": "060908 1C080808", "g": "00000F 110F010E", "h": "101016 19111111",
    "i": "04000C 0404040E", "j": "020006 0202120C", "k": "101012 14181412", "l": "0C0404 0404040E",
    "m": "00001A 15151515", "n": "000016 19111111", "o": "00000E 1111110E", "p": "00001E 111E1010",
    "q": "00000F 110F0101", "r": "000016 19101010", "s": "00000E 100E011E", "t": "08081C 08080906",
    "u": "000011 1111130D", "v": "000011 11110A04", "w": "000011 1115150A", "x": "000011 0A040A11",
    "y": "000011 110F010E", "z": "00001F 0204081F",
    "0": "0E1113 1519110E", "1": "040C04 0404040E", "2": "0E1101 0204081F", "3": "1F0204 0201110E",
    "4": "02060A 121F0202", "5": "1F101E 0101110E", "6": "060810 1E11110E", "7": "1F0102 04080808",
    "8": "0E1111 0E11110E", "9": "0E1111 0F01020C",
    " ": "000000 00000000", "%": "181902 04081303", ".": "000000 00000C0C", ",": "000000 000C0408",
    "-": "000000 1F000000", "+": "000404 1F040400", "_": "000000 0000001F", ":": "000C0C 000C0C00",
    "/": "000102 04081000", "(": "020408 08080402", ")": "080402 02020408", "?": "0E1101 02040004",
}  # fmt: skip


def written(line: str, scale: int = 2) -> np.ndarray:
    """A line as bool `[7 scale, 6 scale N]`, True where ink is; what has no pattern here is a question mark."""
    letters = [bytes.fromhex(_ROWS.get(letter, _ROWS["?"])) for letter in line]
    rows = np.array([list(letter) for letter in letters], dtype=np.uint8).reshape(len(line), HEIGHT)
    bits = np.pad(rows[:, :, None] >> np.arange(ADVANCE - 2, -1, -1) & 1, ((0, 0), (0, 0), (0, 1)))
    ink = bits.transpose(1, 0, 2).reshape(HEIGHT, ADVANCE * len(line)).astype(bool)
    return ink.repeat(scale, 0).repeat(scale, 1)
