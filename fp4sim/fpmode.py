"""Keeps the processor's float mode IEEE while fp4sim computes: other code may have switched subnormals off.

``torch.set_flush_denormal(True)`` and some BLAS builds set FTZ/DAZ for a thread and the threads it starts; float32
subnormals, which small blocks and scales need, would then vanish from NumPy and numba results.
"""

from __future__ import annotations

import platform
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

_X86_FTZ_DAZ = 0x8040
_ARM_FZ = 1 << 24


def subnormals_flushed() -> bool:
    """Whether this thread flushes float32 subnormals."""
    tiny = np.full(1, 1e-40, np.float32)
    return bool((tiny * np.float32(1.0))[0] == 0 or (tiny + tiny)[0] == 0)


@contextmanager
def ieee_mode() -> Iterator[None]:
    """Restore subnormals for the body, and the caller's mode after it. Costs a microsecond where nothing is amiss."""
    if not subnormals_flushed():
        yield
        return
    read, write = _mode_access()
    before = read()
    write(before & ~(_X86_FTZ_DAZ if _is_x86() else _ARM_FZ))
    try:
        yield
    finally:
        write(before)


def _is_x86() -> bool:
    return platform.machine().lower() in ("x86_64", "amd64", "i386", "i686")


@lru_cache(maxsize=1)
def _mode_access() -> tuple[Any, Any]:
    """Functions that read and write MXCSR (x86) or FPCR (arm64), compiled on first need."""
    from llvmlite import ir
    from numba import njit, types
    from numba.extending import intrinsic

    word = ir.IntType(32) if _is_x86() else ir.IntType(64)
    name = "x86.sse.{}mxcsr" if _is_x86() else "aarch64.{}.fpcr"

    @intrinsic  # type: ignore[untyped-decorator]
    def read_word(_context: Any) -> Any:
        def build(_c: Any, builder: Any, _s: Any, _args: Any) -> Any:
            if not _is_x86():
                function = ir.FunctionType(word, [])
                return builder.call(builder.module.declare_intrinsic(f"llvm.{name.format('get')}", (), function), [])
            slot = builder.alloca(word)
            pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
            function = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
            builder.call(builder.module.declare_intrinsic(f"llvm.{name.format('st')}", (), function), [pointer])
            return builder.load(slot)

        return (types.uint32 if _is_x86() else types.uint64)(), build

    @intrinsic  # type: ignore[untyped-decorator]
    def write_word(_context: Any, value: Any) -> Any:
        def build(context: Any, builder: Any, _s: Any, args: Any) -> Any:
            if not _is_x86():
                function = ir.FunctionType(ir.VoidType(), [word])
                builder.call(builder.module.declare_intrinsic(f"llvm.{name.format('set')}", (), function), args)
                return context.get_dummy_value()
            slot = builder.alloca(word)
            builder.store(args[0], slot)
            pointer = builder.bitcast(slot, ir.IntType(8).as_pointer())
            function = ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer()])
            builder.call(builder.module.declare_intrinsic(f"llvm.{name.format('ld')}", (), function), [pointer])
            return context.get_dummy_value()

        return types.void(types.uint32 if _is_x86() else types.uint64), build

    @njit  # type: ignore[untyped-decorator]
    def read() -> Any:
        return read_word()

    @njit  # type: ignore[untyped-decorator]
    def write(value: Any) -> None:
        write_word(value)

    unsigned = np.uint32 if _is_x86() else np.uint64
    return (lambda: int(read())), (lambda value: write(unsigned(value)))
