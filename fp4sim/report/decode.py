"""JSON data back to frozen records, by their type hints. What a record does not know is left out, so that results of later
versions with more fields can be read; what it needs and does not find is an error that says where.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from fp4sim.errors import UnreadableError
from fp4sim.io.files import shown

_KEYS = {"bits_version": "BITS_VERSION"}  # where the JSON has another name than the field

Decode = Callable[[Any, str], Any]  # JSON data and where it stands, e.g. "tensors[3].shape"


def decode(kind: Any, data: Any, where: str = "") -> Any:
    """``data`` as a value of the type ``kind``. Raises UnreadableError naming the place of what does not fit."""
    decoded: Any = _decoder(kind)(data, where)
    return decoded


@cache
def _decoder(kind: Any) -> Decode:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda data, where: data
    if is_dataclass(kind):
        return _record(kind)
    if origin in (Union, UnionType):
        return _optional(arguments)
    if origin is tuple:
        return _many(arguments[0]) if arguments[-1] is Ellipsis else _exactly(arguments)
    if origin is dict:
        return _mapping(arguments[1])
    if origin is Literal:
        return _one_of(arguments)
    return _scalar(kind)


def _record(kind: Any) -> Decode:
    hints = get_type_hints(kind)
    known = [(one.name, one.default is MISSING and one.default_factory is MISSING) for one in fields(kind)]
    decoders: dict[str, Decode] = {}

    def run(data: Any, where: str) -> Any:
        if not isinstance(data, dict):
            raise _unfit(where, "an object", data)
        if not decoders:  # made here, since a record may hold records of its own kind
            decoders.update({name: _decoder(hints[name]) for name, _ in known})
        values = {}
        for name, needed in known:
            key = _KEYS[name] if _KEYS.get(name) in data else name
            if key in data:
                values[name] = decoders[name](data[key], f"{where}.{key}" if where else key)
            elif needed:
                raise UnreadableError(
                    f"{where or 'the result'} has no '{_KEYS.get(name, name)}'; the file is damaged or no result"
                )
        return kind(**values)

    return run


def _optional(kinds: tuple[Any, ...]) -> Decode:
    """One of several types, the first that fits; None where it is among them."""
    inner = [_decoder(kind) for kind in kinds if kind is not NoneType]
    may_be_none = NoneType in kinds

    def run(data: Any, where: str) -> Any:
        if data is None and may_be_none:
            return None
        for one in inner[:-1]:
            try:
                return one(data, where)
            except UnreadableError:
                continue
        return inner[-1](data, where)

    return run


def _many(kind: Any) -> Decode:
    inner = _decoder(kind)

    def run(data: Any, where: str) -> Any:
        if not isinstance(data, list):
            raise _unfit(where, "a list", data)
        return tuple(inner(item, f"{where}[{i}]") for i, item in enumerate(data))

    return run


def _exactly(kinds: tuple[Any, ...]) -> Decode:
    inner = [_decoder(kind) for kind in kinds]

    def run(data: Any, where: str) -> Any:
        if not isinstance(data, list) or len(data) != len(inner):
            raise _unfit(where, f"a list of {len(inner)}", data)
        return tuple(one(item, f"{where}[{i}]") for i, (one, item) in enumerate(zip(inner, data, strict=True)))

    return run


def _mapping(kind: Any) -> Decode:
    inner = _decoder(kind)

    def run(data: Any, where: str) -> Any:
        if not isinstance(data, dict):
            raise _unfit(where, "an object", data)
        return {key: inner(item, f"{where}.{shown(key, 40)}") for key, item in data.items()}

    return run


def _one_of(values: tuple[Any, ...]) -> Decode:
    def run(data: Any, where: str) -> Any:
        if data not in values:
            raise _unfit(where, "one of " + ", ".join(map(str, values)), data)
        return data

    return run


def _scalar(kind: type) -> Decode:
    accepted = (int, float) if kind is float else (kind,)

    def run(data: Any, where: str) -> Any:
        if not isinstance(data, accepted) or (isinstance(data, bool) and kind is not bool):
            raise _unfit(
                where, {"str": "text", "int": "a whole number", "float": "a number"}.get(kind.__name__, ""), data
            )
        return kind(data)

    return run


def _unfit(where: str, wanted: str, found: Any) -> UnreadableError:
    return UnreadableError(f"{where or 'the result'} is {shown(repr(found), 40)}, not {wanted or 'true or false'}")
