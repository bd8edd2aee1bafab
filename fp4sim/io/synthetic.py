"""The ``synthetic`` source: tensors made from a name, a shape and a seed instead of a file."""

from __future__ import annotations

import re
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from fp4sim.errors import UsageError
from fp4sim.io.dtypes import numpy_dtype
from fp4sim.io.files import shown
from fp4sim.io.generators import GENERATORS, SUITE, Shape, SyntheticGenerator
from fp4sim.io.source import ListSource, Tensor, TensorInfo

_DTYPES: dict[str, str] = {
    "fp32": "float32",
    "bf16": "bfloat16",
    "fp16": "float16",
    "float32": "float32",
    "bfloat16": "bfloat16",
    "float16": "float16",
}
_SHAPE = re.compile(r"(\d{1,9})x(\d{1,9})")
_MAX_ELEMENTS = 1 << 31
_GRAMMAR = "synthetic[:NAME][:param=value]...[:ROWSxCOLS][:seed=N][:dtype=fp32|bf16|fp16]"


@dataclass(frozen=True)
class _Options:
    shape: Shape | None = None
    seed: int = 0
    dtype: str = "float32"
    params: Mapping[str, float] = field(default_factory=dict)


class SyntheticTensor(Tensor):
    """A tensor generated on first read and kept; the same for the same generator, shape, parameters and seed.

    The random stream depends on the generator's name and the seed alone, so a tensor of the suite equals the
    one asked for by name. Magnitudes beyond the dtype's largest become that largest: the tensor is always finite.
    """

    load_whole = True

    def __init__(
        self,
        generator: SyntheticGenerator,
        shape: Shape,
        params: Mapping[str, float],
        seed: int,
        dtype: str,
        name: str | None = None,
    ) -> None:
        super().__init__(TensorInfo(name or generator.name, shape, dtype))
        self._generator = generator
        self._shape = shape
        self._params = dict(params)
        self._seed = seed
        self._lock = threading.Lock()
        self._values: np.ndarray[Any, Any] | None = None

    def _read(self, start: int, stop: int) -> np.ndarray[Any, Any]:
        with self._lock:
            if self._values is None:
                self._values = self._generate()
        return self._values[start:stop]

    def _generate(self) -> np.ndarray[Any, Any]:
        entropy = [self._seed, zlib.crc32(self._generator.name.encode())]
        rng = np.random.Generator(np.random.Philox(np.random.SeedSequence(entropy)))
        values = _finite(self._generator.make(rng, self._shape, self._params), "float32")
        values = _finite(values, self.info.dtype).reshape(-1)
        values.flags.writeable = False
        return values


def _finite(values: np.ndarray[Any, Any], dtype: str) -> np.ndarray[Any, Any]:
    """Round to ``dtype`` with values beyond its range set to its largest finite one."""
    target = numpy_dtype(dtype)
    with np.errstate(over="ignore", under="ignore"):
        rounded = values.astype(target, copy=False)
    beyond = np.isinf(rounded)
    if beyond.any():
        exponent, fraction_bits = {"float32": (127, 23), "bfloat16": (127, 7), "float16": (15, 10)}[dtype]
        largest = np.float32((2.0 - 2.0**-fraction_bits) * 2.0**exponent)
        rounded = np.where(beyond, np.copysign(largest, rounded.astype(np.float32)).astype(target), rounded)
    return rounded


def open_synthetic(spec: str) -> ListSource:
    """Open ``synthetic`` (the suite) or ``synthetic:NAME``, each with options after colons.

    Raises UsageError listing what exists for an unknown generator, parameter or option.
    """
    parts = spec.split(":")[1:]
    chosen = SUITE
    if parts and "=" not in parts[0] and not _SHAPE.fullmatch(parts[0]):
        chosen = (_named(parts[0]),)
        parts = parts[1:]
    allowed = {param.name for generator in chosen for param in generator.params} if len(chosen) == 1 else set()
    options = _parse(spec, parts, allowed)
    tensors: list[Tensor] = []
    for generator in chosen:
        params = {param.name: param.default for param in generator.params}
        for param in generator.params:
            value = options.params.get(param.name, param.default)
            if not param.low <= value <= param.high:
                raise UsageError(f"{generator.name}: {param.name}={value:g} is outside [{param.low:g}, {param.high:g}]")
            params[param.name] = value
        shape = options.shape or generator.shape
        name = generator.name + "".join(f":{key}={value:g}" for key, value in sorted(options.params.items()))
        tensors.append(SyntheticTensor(generator, shape, params, options.seed, options.dtype, name))
    return ListSource(shown(spec), tensors)


def _named(name: str) -> SyntheticGenerator:
    for generator in GENERATORS:
        if generator.name == name:
            return generator
    known = ", ".join(generator.name for generator in GENERATORS)
    raise UsageError(f"unknown synthetic tensor '{shown(name, 80)}'; known: {known}")


def _parse(spec: str, parts: list[str], allowed: set[str]) -> _Options:
    shape: Shape | None = None
    settings: dict[str, str] = {}
    for part in parts:
        match = _SHAPE.fullmatch(part)
        key, equals, value = part.partition("=")
        if match and shape is None:
            shape = (int(match[1]), int(match[2]))
            if not 0 < shape[0] * shape[1] <= _MAX_ELEMENTS:
                raise UsageError(f"synthetic shape {part}: between 1 and {_MAX_ELEMENTS} elements, please")
        elif match or not equals:
            raise UsageError(f"'{shown(part, 80)}' in '{shown(spec)}' is not understood; write {_GRAMMAR}")
        elif key in settings:
            raise UsageError(f"'{shown(key, 80)}' is given twice in '{shown(spec)}'")
        elif key not in allowed | {"seed", "dtype"}:
            known = ", ".join([*sorted(allowed), "seed", "dtype"])
            raise UsageError(f"unknown option '{shown(key, 80)}' in '{shown(spec)}'; known: {known}")
        else:
            settings[key] = value
    seed = settings.pop("seed", "0")
    if not re.fullmatch(r"[0-9]{1,18}", seed):
        raise UsageError(f"seed '{shown(seed, 40)}' is not a non-negative integer of at most 18 digits")
    dtype = settings.pop("dtype", "fp32")
    if dtype not in _DTYPES:
        raise UsageError(f"dtype '{shown(dtype, 40)}' is not one of {', '.join(_DTYPES)}")
    params = {key: _number(key, value) for key, value in settings.items()}
    return _Options(shape, int(seed), _DTYPES[dtype], params)


def _number(key: str, value: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise UsageError(f"{key}='{shown(value, 40)}' is not a number") from None
