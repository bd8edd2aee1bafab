"""Every kind of result, as data: its record, and what renders it to which suffix. Nothing is imported before it is used."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from fp4sim.errors import UsageError

if TYPE_CHECKING:
    from fp4sim.report.result import Made

Home = str  # "module:name" within fp4sim.report


@dataclass(frozen=True)
class Kind:
    """A kind of result. ``schema``: its name, ``fp4sim.compare``, and ``version``, the number after the slash.

    ``record``: the class. ``markdown``, ``text``, ``csv``: functions from the result to text. ``junit``: from the result
    to its suites. ``html``: from the result to a :class:`fp4sim.report.html.document.Document`.
    """

    schema: str
    version: int
    record: Home
    text: Home
    html: Home
    markdown: Home
    csv: Home
    junit: Home

    @property
    def name(self) -> str:
        """The schema without its namespace."""
        return self.schema.partition(".")[2]

    def load_record(self) -> type[Made]:
        """The class of its results."""
        return cast("type[Made]", found(self.record))


def found(home: Home) -> Callable[..., Any]:
    """What stands at ``module:name`` within fp4sim.report."""
    module, _, name = home.partition(":")
    return cast("Callable[..., Any]", getattr(import_module(f"fp4sim.report.{module}"), name))


KINDS = (
    Kind(
        *("fp4sim.compare", 1, "model:CompareResult"),
        text="text_kinds:compare_text",
        html="html.compare:compare_document",
        markdown="markdown:compare_markdown",
        csv="csv_table:compare_csv",
        junit="junit_kinds:compare_suites",
    ),
    Kind(
        *("fp4sim.bias", 1, "bias_model:BiasResult"),
        text="text_kinds:bias_text",
        html="html.bias:bias_document",
        markdown="bias_markdown:bias_markdown",
        csv="bias_csv:bias_csv",
        junit="junit_kinds:bias_suites",
    ),
    Kind(
        *("fp4sim.layer", 1, "layer_model:LayerResult"),
        text="text_kinds:layer_text",
        html="html.layer:layer_document",
        markdown="layer_files:layer_markdown",
        csv="layer_files:layer_csv",
        junit="junit_kinds:layer_suites",
    ),
    Kind(
        *("fp4sim.verify", 1, "verify_model:VerifyResult"),
        text="verify_text:verify_text",
        html="html.verify:verify_document",
        markdown="verify_markdown:verify_markdown",
        csv="csv_kinds:verify_csv",
        junit="junit:verify_suites",
    ),
    Kind(
        *("fp4sim.golden-check", 1, "golden_model:GoldenResult"),
        text="golden_text:golden_text",
        html="html.verify:golden_document",
        markdown="golden_text:golden_markdown",
        csv="csv_kinds:golden_csv",
        junit="junit:golden_suites",
    ),
    Kind(
        *("fp4sim.diff", 1, "diff_model:DiffResult"),
        text="text_kinds:diff_text",
        html="html.diff:diff_document",
        markdown="markdown_kinds:diff_markdown",
        csv="csv_kinds:diff_csv",
        junit="junit_kinds:diff_suites",
    ),
    Kind(
        *("fp4sim.reproduce", 1, "reproduction_model:Reproduction"),
        text="text_kinds:reproduction_text",
        html="html.reproduction:reproduction_document",
        markdown="reproduction_markdown:reproduction_markdown",
        csv="csv_kinds:reproduction_csv",
        junit="junit_kinds:reproduction_suites",
    ),
    Kind(
        *("fp4sim.mutations", 1, "mutation_model:MutationResult"),
        text="mutation_text:mutation_text",
        html="html.mutations:mutation_document",
        markdown="markdown_kinds:mutation_markdown",
        csv="csv_kinds:mutation_csv",
        junit="junit_kinds:mutation_suites",
    ),
    Kind(
        *("fp4sim.gemm", 1, "gemm_model:GemmErrors"),
        text="text_kinds:gemm_text",
        html="html.gemm:gemm_document",
        markdown="gemm_markdown:gemm_markdown",
        csv="gemm_csv:gemm_csv",
        junit="junit_device:gemm_suites",
    ),
    Kind(
        *("fp4sim.gemm-fit", 1, "gemm_fit_model:FitResult"),
        text="text_kinds:fit_text",
        html="html.gemm:fit_document",
        markdown="gemm_fit_text:fit_markdown",
        csv="gemm_fit_csv:fit_csv",
        junit="junit_device:fit_suites",
    ),
    Kind(
        *("fp4sim.evidence", 1, "evidence_model:Evidence"),
        text="evidence_text:evidence_text",
        html="html.evidence:evidence_document",
        markdown="evidence_files:evidence_markdown",
        csv="evidence_files:evidence_csv",
        junit="junit_device:evidence_suites",
    ),
)


def kind_of(result: Made) -> Kind:
    """The kind of a result. Raises UsageError for what is no result."""
    schema = getattr(result, "schema", None)
    for kind in KINDS:
        if schema == f"{kind.schema}/{kind.version}":
            return kind
    raise UsageError(f"{type(result).__name__} is no result of fp4sim")
