"""How CPU kernels are compiled: nopython, without the GIL, cached on disk where a folder can be written.

numba's cache of a kernel does not notice a change in another file, so a kernel calls nothing outside its own file except
the bit casts of this one, which have no logic to change (a test enforces it).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

if TYPE_CHECKING:
    from collections.abc import Callable

F = TypeVar("F", bound="Callable[..., Any]")


def kernel(function: F) -> F:
    """Compile lazily; an unwritable cache folder means uncached, not a crash."""
    try:
        return cast("F", njit(nogil=True, cache=True, error_model="numpy")(function))
    except RuntimeError:  # "cannot cache function: no locator available"
        return cast("F", njit(nogil=True, error_model="numpy")(function))


def inlined(function: F) -> F:
    """A helper that is inlined into the kernels of its own file: by LLVM, because numba's way types it again at every call."""
    return cast("F", njit(nogil=True, forceinline=True, error_model="numpy")(function))


@intrinsic  # type: ignore[untyped-decorator]
def bits_of(_context: Any, _value: Any) -> Any:
    """The bits of a float32 as int32."""
    return types.int32(types.float32), lambda _c, builder, _s, args: builder.bitcast(args[0], ir.IntType(32))


@intrinsic  # type: ignore[untyped-decorator]
def float_of(_context: Any, _value: Any) -> Any:
    """The float32 with the bits of an int32."""
    return types.float32(types.int32), lambda _c, builder, _s, args: builder.bitcast(args[0], ir.FloatType())
