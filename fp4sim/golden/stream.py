"""Packs as a stream: lines of words, each followed by the bytes it announces. A kernel passes on what it reads and adds to it.

    fp4sim-stream 1 <cases> <seed>
    case <name> <spec> <SHA-256 of x's bytes>
    array x bfloat16 2 32 256 16384           name, dtype, number of axes, axes, bytes
    <16384 bytes, little-endian>
    array codes uint8 2 32 128 4096           added by the kernel, as are block_scale, tensor_scale, dequantized
    <4096 bytes>
    end <cases>

Every line ends with a line feed, and so do the bytes of an array. Words hold no blanks. A stream without its ``end`` line, or
with fewer cases than it announced, was cut off.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

import numpy as np

from fp4sim.errors import UnreadableError, UsageError
from fp4sim.golden.writer import raw_bytes
from fp4sim.grammar import parse
from fp4sim.io.dtypes import decode, is_readable, numpy_dtype
from fp4sim.io.files import shown

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from fp4sim.golden.cases import GoldenCase
    from fp4sim.spec import Spec

_MAGIC, _VERSION = "fp4sim-stream", "1"
_LINE = 4096  # bytes of a line
_CHUNK = 1 << 20
_MOST_AXES = 32


@dataclass(eq=False)
class StreamCase:
    """A case as it came through the kernel: what it was given, and the arrays that the kernel added."""

    name: str
    spec: Spec
    digest: str
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)


def write_stream(out: BinaryIO, cases: Iterable[GoldenCase], count: int, seed: int) -> None:
    """Write the inputs of cases; expected outputs stay behind."""
    out.write(f"{_MAGIC} {_VERSION} {count} {seed}\n".encode())
    for case in cases:
        digest = hashlib.sha256(raw_bytes(case.x)).hexdigest()
        out.write(f"case {case.name} {case.spec} {digest}\n".encode())
        for name in ("x", "signs"):
            if name in case.arrays:
                write_array(out, name, case.arrays[name])
    out.write(f"end {count}\n".encode())
    out.flush()


def write_array(out: BinaryIO, name: str, array: NDArray[Any]) -> None:
    """One array with its line."""
    raw = raw_bytes(array)
    axes = "".join(f" {n}" for n in array.shape)
    out.write(f"array {name} {array.dtype.name} {array.ndim}{axes} {len(raw)}\n".encode())
    out.write(raw)
    out.write(b"\n")


class StreamReader:
    """Reads a stream case by case; ``seed`` is known once it is open. Every fault raises UnreadableError with its place."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream, self._where = stream, "the stream"
        words = self._words()
        if not words:
            self._fail("is empty: the program before it wrote nothing")
        if len(words) != 4 or words[0] != _MAGIC:
            self._fail("does not begin with 'fp4sim-stream': was another program's output piped here?")
        if words[1] != _VERSION:
            self._fail(f"version {shown(words[1], 20)} is not known, {_VERSION} is")
        self.count, self.seed = self._number(words[2]), self._number(words[3])

    def __iter__(self) -> Iterator[StreamCase]:
        """Every case; ends well only after a complete stream."""
        case: StreamCase | None = None
        found: set[str] = set()
        while True:
            words = self._words()
            if not words:
                self._fail(f"was cut off after {len(found)} of {self.count} cases")
            if words[0] in ("case", "end") and case is not None:
                yield self._checked(case)
            if words[0] == "end":
                break
            if words[0] == "case" and len(words) == 4:
                if words[1] in found:
                    self._fail(f"case '{shown(words[1], 80)}' comes twice")
                found.add(words[1])
                case = StreamCase(words[1], self._spec(words[2]), words[3])
                self._where = f"the stream: case '{shown(words[1], 80)}'"
            elif words[0] == "array" and case is not None:
                self._array(words, case)
            else:
                self._fail(f"has the line '{shown(' '.join(words), 60)}' where a case, an array or the end belongs")
        self._where = "the stream"
        if words != ["end", str(self.count)] or len(found) != self.count:
            self._fail(f"announced {self.count} cases and holds {len(found)}: was it cut off?")
        if self._stream.read(1):
            self._fail("goes on after its end")

    def _checked(self, case: StreamCase) -> StreamCase:
        x = case.arrays.get("x")
        if x is None:
            self._fail("has no x: pass on every line that was read")
        if hashlib.sha256(raw_bytes(x)).hexdigest() != case.digest:
            self._fail("x is not what was sent: pass it on unchanged")
        return case

    def _array(self, words: list[str], case: StreamCase) -> None:
        axes = self._number(words[3]) if len(words) > 3 else -1
        if len(words) != 5 + axes or not 0 <= axes <= _MOST_AXES:
            self._fail(f"malformed line '{shown(' '.join(words), 60)}'")
        name, dtype = words[1], words[2]
        if not is_readable(dtype):
            self._fail(f"array '{shown(name, 40)}' has the unknown dtype '{shown(dtype, 40)}'")
        shape, length = tuple(map(self._number, words[4:-1])), self._number(words[-1])
        if length != math.prod(shape) * numpy_dtype(dtype).itemsize:
            self._fail(f"array '{shown(name, 40)}' of shape {shape} and {dtype} does not take {length} bytes")
        if name in case.arrays:
            self._fail(f"array '{shown(name, 40)}' comes twice")
        raw = self._bytes(length, name)
        if self._stream.read(1) != b"\n":
            self._fail(f"no line feed after the {length} bytes of array '{shown(name, 40)}'")
        case.arrays[name] = decode(raw, dtype).reshape(shape)

    def _bytes(self, length: int, name: str) -> NDArray[np.uint8]:
        """Read in chunks, so that memory follows what really comes and not what was announced."""
        parts, missing = bytearray(), length
        while missing:
            part = self._stream.read(min(missing, _CHUNK))
            if not part:
                self._fail(f"was cut off in array '{shown(name, 40)}', {missing:,} of {length:,} bytes before its end")
            parts += part
            missing -= len(part)
        return np.frombuffer(parts, np.uint8)

    def _words(self) -> list[str]:
        """The words of the next line; none at the end of the file."""
        line = self._stream.readline(_LINE)
        if not line:
            return []
        if not line.endswith(b"\n"):
            self._fail("was cut off in a line" if len(line) < _LINE else f"has a line of more than {_LINE} bytes")
        try:
            words = line.decode("ascii").split()
        except UnicodeDecodeError:
            words = []
        return words or self._fail("has a line that is not words in ASCII")

    def _number(self, word: str) -> int:
        if not (word.isascii() and word.isdecimal() and len(word) < 21) or int(word) >= 1 << 64:
            self._fail(f"'{shown(word, 40)}' is not a number")
        return int(word)

    def _spec(self, text: str) -> Spec:
        try:
            return parse(text)
        except UsageError as error:
            raise UnreadableError(f"{self._where}: {error}") from None

    def _fail(self, problem: str) -> NoReturn:
        raise UnreadableError(
            f"{self._where} {problem}" if self._where == "the stream" else f"{self._where}: {problem}"
        )
