"""The fixture ``fp4_oracle``: fp4sim bound to a spec, and what it found, for the test's report."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from fp4sim.packed import PackedTensor
    from fp4sim.report.verify_model import VerifyResult
    from fp4sim.spec import Spec


class Oracle:
    """What is right under ``spec``; every check adds its numbers to the test's properties."""

    def __init__(self, record: Callable[[str, object], None], spec: str | Spec = "nvfp4", **options: Any) -> None:
        self.spec = spec
        self.options = options
        self.results: list[VerifyResult] = []
        self._record = record

    def quantize(self, x: Any, spec: str | Spec | None = None) -> PackedTensor:
        """The right codes and scales of ``x``; NaN and Inf propagate."""
        from fp4sim.api import quantize
        from fp4sim.testing.arrays import host_array

        settings = {name: self.options[name] for name in ("axis", "seed", "threads") if name in self.options}
        return quantize(host_array(x), self.spec if spec is None else spec, nonfinite="propagate", **settings)

    def verify(self, actual: Any, x: Any, spec: str | Spec | None = None, **options: Any) -> VerifyResult:
        """See :func:`fp4sim.testing.check_bits`; nothing is raised for a mismatch."""
        from fp4sim.testing.assertions import check_bits

        result = check_bits(actual, x, self.spec if spec is None else spec, **{**self.options, **options})
        self.results.append(result)
        self._record_numbers()
        return result

    def assert_bit_exact(
        self, actual: Any, x: Any, spec: str | Spec | None = None, *, msg: str = "", **options: Any
    ) -> None:
        """See :func:`fp4sim.testing.assert_bit_exact`."""
        __tracebackhide__ = True
        from fp4sim.testing.message import failure_message

        result = self.verify(actual, x, spec, **options)
        if not result.ok:
            raise AssertionError(failure_message(result, msg))

    def _record_numbers(self) -> None:
        """The numbers of the latest check, numbered from the second on."""
        result, number = self.results[-1], len(self.results)
        prefix = "fp4sim" if number == 1 else f"fp4sim.{number}"
        self._record(f"{prefix}.spec", result.short)
        for part, count in result.totals.items():
            self._record(f"{prefix}.{part}_mismatched", count.wrong)
            self._record(f"{prefix}.{part}_compared", count.total)
        causes = [finding.cause for case in result.cases for finding in case.findings]
        if causes:
            self._record(f"{prefix}.cause", causes[0])
