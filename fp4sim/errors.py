"""Errors as part of the product: one line that says what, where and what to do, and the exit code."""

from __future__ import annotations

from enum import IntEnum


class ExitCode(IntEnum):
    """Exit codes of every ``fp4sim`` command."""

    OK = 0
    MISMATCH = 1  # a mismatch or a threshold exceeded, and nothing else
    USAGE = 2
    UNREADABLE = 3
    DEVICE = 4
    NOTHING_COMPARED = 5
    UNEXPECTED = 70
    INTERRUPTED = 130


class Fp4simError(Exception):
    """Base of every error that fp4sim raises on purpose. ``exit_code`` is what the command line returns."""

    exit_code: ExitCode = ExitCode.UNEXPECTED


class UsageError(Fp4simError, ValueError):
    """An argument that does not fit: unknown name, wrong dtype or shape, contradicting options."""

    exit_code = ExitCode.USAGE


class SpecError(UsageError):
    """A spec string that does not parse or whose parts do not fit together."""


class MissingExtraError(UsageError):
    """A feature whose optional dependency is not installed; the message names the extra."""

    @classmethod
    def of(cls, package: str, extra: str, purpose: str) -> MissingExtraError:
        """Build the one-line message for a missing optional package."""
        return cls(f"{purpose} needs {package}, which is not installed: pip install 'fp4sim[{extra}]'")


class UnreadableError(Fp4simError, ValueError):
    """Input that cannot be read or holds what has no answer: truncated, malformed, NaN/Inf."""

    exit_code = ExitCode.UNREADABLE


class DeviceError(Fp4simError, RuntimeError):
    """No usable device, or a kernel that failed on it."""

    exit_code = ExitCode.DEVICE


class NothingComparedError(Fp4simError):
    """A run that selected nothing: never reported as success."""

    exit_code = ExitCode.NOTHING_COMPARED
