"""Published figures beside measured ones: judging, tables as data, the cheap tables in their quick version."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from fp4sim.cli.app import app
from fp4sim.errors import UsageError
from fp4sim.floats import E1M2, E2M1, E3M0, E8M0
from fp4sim.grammar import parse
from fp4sim.report.reproduction_markdown import reproduction_markdown
from fp4sim.report.reproduction_model import AGREES, DIFFERS, LIST_SCHEMA, MEASURED, MISSING, OUTCOMES, REPRODUCE_SCHEMA
from fp4sim.reproduce import data, facts, quantities
from fp4sim.reproduce.engine import judged, reproduce, work_of
from fp4sim.reproduce.judge import Printed, agrees, is_number, tolerance
from fp4sim.reproduce.model import (
    BiasPlan,
    Data,
    ErrorPlan,
    FactPlan,
    GemmPlan,
    Measurement,
    NoPlan,
    ReproduceSettings,
    Row,
    Section,
    Table,
)
from fp4sim.reproduce.registry import ALL, ENTRIES, entries, load
from fp4sim.stats.gaussian import gaussian_mse, gaussian_optimum

QUICK = ReproduceSettings(quick=True)
SMALL = Data("gaussian", 128, 512)
TABLES = {entry.name: load(entry) for entry in ENTRIES}
SECTIONS = [(name, section) for name, table in TABLES.items() for section in table.sections]


def table_of(plan, *rows: Row) -> Table:
    return Table("t", "T", (Section("s", "nowhere", plan, rows),))


def measured(plan, *rows: Row, settings: ReproduceSettings = QUICK):
    return reproduce([table_of(plan, *rows)], settings).tables[0].rows


class TestJudge:
    @pytest.mark.parametrize(
        ("text", "value", "unit"),
        [
            ("27.7", 27.7, 0.1),
            (".0044", 0.0044, 1e-4),
            ("2.77e-2", 0.0277, 1e-4),
            ("-.0112", -0.0112, 1e-4),
            ("20", 20, 1),
        ],
    )
    def test_reads_a_printed_number_and_the_unit_of_its_last_digit(self, text, value, unit):
        printed = Printed.parse(text)
        assert printed.value == value
        assert math.isclose(printed.unit, unit)

    @pytest.mark.parametrize("text", ["", ".", "biased", "1.2.3", "nan", "e5"])
    def test_refuses_what_is_no_number(self, text):
        assert not is_number(text)
        with pytest.raises(UsageError, match="not a printed number"):
            Printed.parse(text)

    def test_a_bare_zero_allows_rounding_and_three_standard_errors_alone(self):
        assert tolerance(Printed.parse("0"), 1e-5) == pytest.approx(3.1e-5)

    def test_shows_one_digit_more_in_the_same_notation(self):
        assert Printed.parse("2.77e-2").show(0.027812) == "2.781e-2"
        assert Printed.parse("9.0").show(9.0468) == "9.05"

    def test_the_tolerance_is_three_errors_and_a_unit(self):
        printed = Printed.parse("9.0")
        allowed = tolerance(printed, 0.03, 0.04)
        assert allowed == pytest.approx(0.25)
        assert agrees(printed, 9.25, allowed)
        assert not agrees(printed, 9.251, allowed)
        assert not agrees(printed, math.nan, allowed)

    def test_an_exact_row_has_no_tolerance(self):
        section = Section("s", "", FactPlan(), (Row("r", "20", quantity="dge_vector", exact=True),))
        assert judged(section, section.rows[0], Measurement(19.0)).outcome == DIFFERS
        assert judged(section, section.rows[0], Measurement(20.0)).outcome == AGREES


class TestTables:
    def test_names_are_listed_once_and_all_means_every_one(self):
        names = [entry.name for entry in ENTRIES]
        assert len(set(names)) == len(names)
        assert entries(ALL) == ENTRIES
        assert all(table.name == name for name, table in TABLES.items())

    def test_an_unknown_name_lists_what_there_is(self):
        with pytest.raises(UsageError, match="no table 'quartet3'; there are quartet, quartet2"):
            entries("quartet3")

    @pytest.mark.parametrize(("name", "section"), SECTIONS, ids=[f"{n}-{s.title[:20]}" for n, s in SECTIONS])
    def test_rows_are_of_known_things(self, name, section):
        plan = section.plan
        assert section.source
        for row in section.rows:
            if row.spec:
                parse(row.spec)
            if isinstance(plan, ErrorPlan):
                quantities.quantity(row.quantity or plan.quantity)
                data.describe(row.data or plan.data)
            if isinstance(plan, FactPlan):
                facts.fact(row.quantity)
            if isinstance(plan, BiasPlan):
                assert row.published in ("", "biased", "unbiased")
            elif not isinstance(plan, NoPlan) and row.published:
                Printed.parse(row.published)
            if isinstance(plan, NoPlan):
                assert row.reason

    def test_work_is_known_before_it_is_done(self):
        seen: list[int] = []
        table = table_of(
            ErrorPlan(SMALL, quick=2), Row("a", "", "nvfp4"), Row("b", "", "nvfp4", "bits"), Row("c", "", "mxfp4")
        )
        reproduce([table], QUICK, lambda _, elements: seen.append(elements))
        assert sum(seen) == work_of([table], QUICK) == 2 * 2 * 128 * 512


class TestErrors:
    def test_a_right_figure_agrees_and_a_wrong_one_is_flagged(self):
        rows = measured(ErrorPlan(SMALL, "rel3"), Row("right", "9.0", "nvfp4"), Row("wrong", "9.4", "nvfp4"))
        assert [row.outcome for row in rows] == [AGREES, DIFFERS]
        assert rows[1].reason == "not explained"

    def test_a_row_without_a_figure_is_only_measured(self):
        (row,) = measured(ErrorPlan(SMALL), Row("r", "", "nvfp4"))
        assert row.outcome == MEASURED
        assert row.draws == ErrorPlan().quick
        assert row.elements == 128 * 512

    def test_quantities_agree_with_compare(self):
        import fp4sim

        (tensor,) = data.tensors(SMALL, 0)
        sample = quantities.Sample(tensor, parse("nvfp4"), 0, 1)
        metrics = fp4sim.compare(tensor.read_all(), "nvfp4").totals[0].metrics
        for name, field in (
            ("rel_mse", "rel_mse"),
            ("snr", "snr_db"),
            ("cosine", "cosine"),
            ("bits", "effective_bits"),
        ):
            assert quantities.quantity(name).measure(sample) == pytest.approx(getattr(metrics, field), rel=1e-5)
        assert quantities.quantity("shrinkage").measure(sample) == pytest.approx(1 - metrics.alignment, rel=1e-3)

    def test_the_scatter_of_one_published_tensor_counts(self):
        rows = [measured(ErrorPlan(SMALL, "rel3", published_draws=n), Row("r", "9.0", "nvfp4"))[0] for n in (0, 1)]
        assert rows[1].tolerance > rows[0].tolerance

    @pytest.mark.parametrize("name", data.RECIPES)
    def test_data_are_as_many_as_they_say(self, name):
        one = Data(name, 16, 256, (0.9, 2))
        made = data.tensors(one, 0)
        assert len(made) == data.count_of(one)
        assert all(np.isfinite(tensor.read_all()).all() and tensor.info.shape == (16, 256) for tensor in made)

    def test_data_depend_on_the_seed(self):
        a, b, c = (data.tensors(SMALL, seed)[0].read_all() for seed in (0, 0, 1))
        assert (a == b).all()
        assert not (a == c).all()


class TestGemm:
    def test_an_unbiased_mean_gains_a_bit_each_time(self):
        plan = GemmPlan((128, 256, 128), quick=16)
        rows = measured(plan, *(Row(f"B = {b}", "", "nvfp4+rht+sr", at=b) for b in (1, 4, 16, 64)))
        assert rows[1].value - rows[0].value == pytest.approx(1, abs=0.05)
        assert rows[2].value - rows[1].value == pytest.approx(1, abs=0.1)
        assert rows[3].value is None
        assert rows[3].notes == ("not reached with --quick",)


class TestBias:
    def test_claims_are_held_against_verdicts(self):
        plan = BiasPlan(Data("gaussian", 16, 256), quick_draws=64, quick_margin=3e-2)
        rows = measured(
            plan, Row("a", "biased", "nvfp4"), Row("b", "unbiased", "nvfp4"), Row("c", "unbiased", "nvfp4+sr")
        )
        assert [row.outcome for row in rows] == [AGREES, DIFFERS, AGREES]
        assert [row.measured.split()[0] for row in rows] == ["biased", "biased", "unbiased"]

    def test_zones_show_what_the_total_hides(self):
        wide = next(s for n, s in SECTIONS if n == "quartet2-concentration" and "lost" in s.title)
        row = next(row for row in wide.rows if row.spec == "nvfp4+sr")
        (found,) = measured(wide.plan, row)
        assert found.measured.startswith("unbiased <")
        assert any(note.startswith("scale zero") and "biased, relative bias 1" in note for note in found.notes)


class TestGaussian:
    @pytest.mark.parametrize("fmt", [E2M1, E1M2, E3M0])
    def test_the_closed_form_is_the_error_of_samples(self, fmt):
        x = np.random.default_rng(0).standard_normal(200_000)
        grid = fmt.magnitudes() * (2.5 / fmt.max)
        nearest = grid[np.abs(np.abs(x)[:, None] - grid).argmin(axis=1)]
        assert np.mean((np.abs(x) - nearest) ** 2) == pytest.approx(gaussian_mse(fmt, 2.5), rel=0.02)

    def test_the_optimum_is_least(self):
        best = gaussian_optimum(E2M1)
        assert best.largest == pytest.approx(2.922475, abs=1e-6)
        assert all(gaussian_mse(E2M1, best.largest * f) > best.mse for f in (0.99, 1.01))

    def test_refuses_formats_without_a_zero(self):
        with pytest.raises(UsageError, match="with a zero"):
            gaussian_mse(E8M0, 1.0)


class TestQuickTables:
    def test_constants_agree_but_for_the_last_digits_of_quest(self):
        rows = reproduce([TABLES["constants"]], QUICK).tables[0].rows
        assert [row.label for row in rows if row.outcome != AGREES] == ["E2M1: value"]
        assert all(row.reason for row in rows if row.outcome == DIFFERS)

    def test_scale_formats_keep_their_order(self):
        rows = reproduce([TABLES["scale-formats"]], QUICK).tables[0].sections[0].rows
        assert sum(row.outcome == AGREES for row in rows) >= 6
        value = {row.label: row.value for row in rows}
        assert value["E4M3"] < value["E5M2"] < value["E6M1"] < value["E8M0"] < value["E2M5"] < value["E1M6"]

    def test_what_is_not_reproduced_says_why(self):
        rows = reproduce([TABLES["not-reproduced"]], QUICK).tables[0].rows
        assert all(row.outcome == MISSING and row.reason for row in rows)


class TestCommand:
    def run(self, *args: object):
        return CliRunner().invoke(app, ["reproduce", *map(str, args)], env={"COLUMNS": "100"})

    def test_lists_tables(self):
        result = self.run()
        assert result.exit_code == 0
        assert all(entry.name in result.stdout for entry in ENTRIES)
        listed = json.loads(self.run("--json").stdout)
        assert listed["schema"] == LIST_SCHEMA
        assert [table["name"] for table in listed["tables"]] == [entry.name for entry in ENTRIES]

    def test_json_is_strict_and_complete(self, tmp_path):
        def refuse(constant):
            raise AssertionError(constant)

        out = tmp_path / "r.json"
        result = self.run("constants", "--quick", "--json", "-o", out)
        assert result.exit_code == 0
        found = json.loads(result.stdout, parse_constant=refuse)
        assert found == json.loads(out.read_text())
        assert found["schema"] == REPRODUCE_SCHEMA
        assert found["settings"] == {"quick": True, "seed": 0}
        for section in found["tables"][0]["sections"]:
            for row in section["rows"]:
                assert row["outcome"] in OUTCOMES
                assert row["definition"]

    def test_tables_fit_100_columns(self):
        result = self.run("constants", "--quick")
        assert max(map(len, result.stdout.splitlines())) <= 100
        assert "differs" in result.stdout

    def test_a_difference_fails_only_on_request(self):
        assert self.run("constants", "--quick").exit_code == 0
        failed = self.run("constants", "--quick", "--fail-on-difference")
        assert failed.exit_code == 1
        assert "1 of 22 rows differ" in failed.stderr
        assert self.run("not-reproduced", "--fail-on-difference").exit_code == 0

    def test_writes_markdown(self, tmp_path):
        out = tmp_path / "r.md"
        assert self.run("not-reproduced", "-o", out).exit_code == 0
        text = out.read_text()
        assert text.startswith("# Published figures beside measured ones")
        assert "needs their trained checkpoints" in text

    @pytest.mark.parametrize(
        ("args", "message"),
        [
            (["nope"], "no table 'nope'"),
            (["constants", "-o", "r.pdf"], "the suffix is one of .html .md"),
            (["constants", "-o", "missing/r.md"], "the folder does not exist"),
        ],
    )
    def test_errors_are_one_line(self, args, message):
        result = self.run(*args)
        assert result.exit_code == 2
        assert message in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_markdown_holds_bars_and_stars():
    row = Row("a | b", "1.0", quantity="ideal_speedup", arguments=(4096, 2048), reason="*x*")
    table = replace(table_of(FactPlan(), row), title="t|u")
    text = reproduction_markdown(reproduce([table], QUICK))
    assert r"a \| b" in text
    assert r"\*x\*" in text
