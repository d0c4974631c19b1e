"""``fastnn bench``: its cases run, its files are written, its mistakes are told."""

import importlib
import itertools
import json
import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import fastnn
from fastnn.cli import main

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from benchmarks import conditions, goals, limits, pace, peers, report, suite, worker
from benchmarks.case import Case
from benchmarks.networks import NETWORKS

CASES = [
    pytest.param(case, id=f"{group}: {case.name}")
    for group in suite.GROUPS
    for case in importlib.import_module(f"benchmarks.cases.{group}").CASES
]


def is_small(case):
    whole_network = case.kind.startswith(("step", "inference"))
    return case.flops < (3e9 if whole_network else 1e8) and case.bytes < 1e7


SMALL = [p for p in CASES if is_small(p.values[0])]


def test_there_are_enough_cases_each_with_a_name_and_a_goal():
    names = [p.id for p in CASES]
    assert len(names) >= 150
    assert len(set(names)) == len(names)
    assert all(p.values[0].kind in goals.GOALS for p in CASES)


@pytest.mark.parametrize("case", SMALL)
def test_every_small_case_runs(case):
    step = case.build(fastnn)
    step()
    step()


@pytest.mark.parametrize("name", NETWORKS)
def test_the_products_of_a_network_are_those_of_its_layers(name):
    network, products = NETWORKS[name], []

    def count(layer, _, result):
        products.append(result[0].numel() * layer.weight[0].numel())

    model = network.build(fastnn).eval()
    for layer in model.modules():
        if isinstance(layer, (fastnn.nn.Conv2d, fastnn.nn.Linear)):
            layer.register_forward_hook(count)
    model(fastnn.zeros(1, *network.shape))
    assert (sum(products), products[0]) == (network.products, network.first)


def test_the_files_are_written(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "new" / "r.json"
    words = "bench embedding --only 1000x64 --rounds 2 --threads 1 --peers numpy".split()
    assert main([*words, "--json", str(out), "--plot", str(tmp_path / "charts")]) == 0
    whole = json.loads(out.read_text())
    assert [r["case"] for r in whole["results"]] == [
        "embedding 4096 of 1000x64, forward",
        "embedding 4096 of 1000x64, training",
    ]
    assert all(r["seconds"] > 0 and r["limit_seconds"] > 0 for r in whole["results"])
    assert whole["machine"]["cpu"] and whole["versions"]["numpy"] == np.__version__
    assert (tmp_path / "charts" / "roofline.png").stat().st_size > 1000
    assert "embedding 4096" in capsys.readouterr().out


def run_of(peer, ratio, **more):
    result = {"group": "gemm", "case": "4x4x4 NN", "kind": "gemm", "threads": 1, "seconds": 1e-3, "share": 0.5,
              "limit_seconds": 5e-4, "bar": 1.05, "missed": "share", f"{peer}_ratio": ratio,
              "torch_ratio": 1.5, "torch_seconds": 1.6e-3}  # fmt: skip
    return {"date": "2026-01-02", "machine": {"cpu": "c", "isa": "avx2"}, "versions": {"torch": "1", peer: "2"},
            "results": [result], **more}  # fmt: skip


def test_the_page_says_what_was_run_and_beside_whom():
    page = report.page(run_of("numpy", 3.0), ["r.json", "p.md"], [run_of("jax", 0.5)])
    assert "| jax 2 | gemm | 1 | 1 | 0.50 | 0.50 | 0.50 |" in page
    assert "| numpy 2 | gemm | 1 | 1 | 3.00 | 3.00 | 3.00 |" in page
    assert "| gemm | 1 | 1 | 1.50 | 1.08 | 3.20 | 1.50 | 1.50 | 50 % | 1 |" in page
    assert "`fastnn bench`" in page and "reason found" in page
    page = report.page(run_of("numpy", 3.0, lowered="avx2"), ["r.json", "p.md"])
    assert page.startswith("# Measured with avx2\n") and "`FASTNN_ISA=avx2 fastnn bench`" in page
    assert "reason found" in page and "roofline" not in page
    assert "roofline" in report.page(run_of("numpy", 3.0), ["r.json", "docs/benchmarks.md"])


def test_the_page_says_which_means_are_below_their_goal():
    run = run_of("numpy", 3.0)
    assert "Means below" not in report.page(run, ["r.json", "p.md"])
    run["results"][0]["torch_ratio"] = 1.0
    line = "| gemm | 1 | 1.00 | 1.08 | 31 % | "
    assert line + "the matrix unit" in report.page(run, ["r.json", "p.md"])
    assert line + "not looked into" in report.page({**run, "lowered": "avx2"}, ["r.json", "p.md"])


def test_peers_are_kept_to_our_level(monkeypatch):
    monkeypatch.setenv("FASTNN_ISA", "avx2")
    env = peers.environment(2)
    assert env["ATEN_CPU_CAPABILITY"] == "avx2" and env["OMP_NUM_THREADS"] == "2"
    assert env["XLA_FLAGS"].split() == [
        "--xla_cpu_max_isa=AVX2",
        "--xla_cpu_multi_thread_eigen=true",
    ]
    monkeypatch.delenv("FASTNN_ISA")
    assert "ATEN_CPU_CAPABILITY" not in peers.environment(1)


def test_whole_model_peers_know_the_kinds():
    assert {k for kinds in peers._WHOLE_MODELS.values() for k in kinds} <= set(goals.GOALS)


@pytest.mark.parametrize(
    ("words", "named"),
    [
        ("nonsense", "nonsense"),
        ("gemm --peers caffe", "caffe"),
        ("gemm --threads 0", "'0'"),
        ("gemm --rounds 0", "--rounds"),
        ("gemm --patience -1", "--patience"),
        ("gemm --patience nan", "--patience"),
        ("gemm --only nosuchcase", "nosuchcase"),
        ("gemm --again", "--json"),
        (f"gemm --again --json {__file__}", "--json"),
    ],
)
def test_a_mistake_gets_one_line(words, named, capsys):
    assert main(["bench", *words.split()]) == 2
    error = capsys.readouterr().err
    assert named in error and error.count("\n") == 1


def test_a_bar_never_asks_for_more_than_the_limit_allows():
    # PyTorch reaches 90 % of the limit and we 95 %: the goal of 93 % caps the ratio at 0.93 / 0.90.
    assert goals.bar("gemm", 1, share=0.95, ratio=0.95 / 0.90) == pytest.approx(0.93 / 0.90)
    assert goals.bar("gemm", 1, share=0.5, ratio=2.0) == 1.05
    result = {"kind": "gemm", "threads": 1, "limit_seconds": 1e-3, "share": 0.9}
    assert goals.verdict({**result, "bar": 1.05, "torch_ratio": 1.0}) == "share+ratio"
    assert goals.verdict({**result, "limit_seconds": 1e-6, "bar": 1.05, "torch_ratio": 1.1}) == ""


def test_the_limit_is_the_slower_of_arithmetic_and_memory():
    peak = {"flops": 1e9, "bandwidth": [(1000, 1e9), (10**6, 1e8)]}
    case = Case("", lambda t: lambda: None, flops=1e6, bytes=1e6)
    assert limits.limit_seconds(case, peak, 1, 1e9) == pytest.approx(1e-2)
    assert limits.limit_seconds(case, peak, 1000, 1e9) == pytest.approx(1e-3)
    assert limits.limit_seconds(case, peak, 1000, 5e8) == pytest.approx(2e-3)


class FakeWorker:
    """Answers with these times, of a call in each round and of its best undisturbed one, over and over."""

    def __init__(self, name, asked, *times):
        self.name, self.asked, self.times = name, asked, itertools.cycle(times)

    def ask(self, **request):
        self.asked.append((self.name, request["pace"]))
        seconds, undisturbed = next(self.times)
        return {"seconds": seconds, "undisturbed": undisturbed, "pace": 5e9, "flops": 1e9}


@pytest.fixture(autouse=True)
def own_machine(monkeypatch):
    """Nobody takes cores away while a test runs."""
    monkeypatch.setattr(pace, "stolen", lambda: 0.0)


def measured(patience, ours, theirs):
    asked = []
    workers = {
        "fastnn": FakeWorker("fastnn", asked, *ours),
        "torch": FakeWorker("torch", asked, *theirs),
    }
    case = Case("1x1", lambda t: lambda: None)
    return suite.measure(workers, "gemm", case, patience), asked


def test_every_round_asks_every_backend():
    result, asked = measured(suite.Patience(5), [(1.0, 1.0)], [(2.0, 2.0)])
    assert [name for name, _ in asked] == ["fastnn", "torch"] * 5 and result["torch_ratio"] == 2
    assert [pace for _, pace in asked] == [0.0] + [5e9] * 9  # each knows what was read before


def test_undisturbed_rounds_count_where_there_are_a_few():
    ours = [(1.0, None), (1.0, 1.0), (1.0, 1.0), (1.0, 1.0)]
    theirs = [(5.0, 5.0), (5.0, 3.0), (2.0, 4.0), (2.0, 2.5)]
    result, _ = measured(suite.Patience(4), ours, theirs)
    assert result["torch_ratio"] == 3 and result["undisturbed"]
    result, _ = measured(suite.Patience(3), ours, theirs)  # two of them
    assert result["torch_ratio"] == 5 and not result["undisturbed"]
    result, _ = measured(suite.Patience(1), [(1.0, 1.0)], [(5.0, 4.0)])  # there are no more
    assert result["torch_ratio"] == 4 and result["undisturbed"]


def test_a_third_backend_that_is_always_disturbed_does_not_count():
    asked = []
    times = {"fastnn": (1.0, 1.0), "torch": (2.0, 2.0), "numpy": (9.0, None)}
    workers = {name: FakeWorker(name, asked, t) for name, t in times.items()}
    case = Case("1x1", lambda t: lambda: None)
    result = suite.measure(workers, "gemm", case, suite.Patience(3, 60))
    assert len(asked) == 9 and result["undisturbed"] and result["numpy_ratio"] == 9


def test_patience_goes_on_until_a_few_rounds_are_undisturbed():
    _, asked = measured(suite.Patience(3, 60), [(1.0, None)] * 5 + [(1.0, 1.0)], [(2.0, 2.0)])
    assert len(asked) == 2 * 18  # every sixth round is undisturbed
    _, asked = measured(suite.Patience(2, 0.01), [(1.0, None)], [(2.0, 2.0)])
    assert len(asked) >= 4


def test_rounds_whose_cores_were_taken_away_do_not_count(monkeypatch):
    readings = itertools.cycle([0.0, 0.0, 0.0, 9.0])  # seconds: every second round loses nine
    monkeypatch.setattr(pace, "stolen", lambda: next(readings))
    times = [(2.0, 2.0), (1.0, None), (3.0, 6.0), (30.0, None)]
    result, _ = measured(suite.Patience(6), times[:2], times[2:])
    assert (result["torch_ratio"], result["seconds"], result["stolen"]) == (3, 2, 0)
    result, _ = measured(suite.Patience(4), times[:2], times[2:])  # two are too few
    assert result["seconds"] == 1 and result["stolen"] > 1


def test_the_rounds_of_which_least_was_stolen():
    assert pace.least_stolen([0.0, 0.4, 0.01, 0.2, 0.0], 3) == [0, 2, 4]
    assert pace.least_stolen([0.3, 0.4, 0.01, 0.2], 2) == [2, 3]


def test_stolen_seconds_are_the_eighth_figure(tmp_path, monkeypatch):
    monkeypatch.undo()
    stat = tmp_path / "stat"
    stat.write_text("cpu  10 20 30 40 50 60 70 800 90 100\ncpu0 1 1 1 1 1 1 1 1 1 1\n")
    assert pace.stolen(str(stat)) == 800 / os.sysconf("SC_CLK_TCK")
    stat.write_text("cpu  10 20 30 40\n")  # nobody counts them
    assert pace.stolen(str(stat)) == pace.stolen(str(tmp_path / "none")) == 0
    assert pace.stolen() >= 0


def test_undisturbed_rounds_without_their_cores_do_not_count(monkeypatch):
    readings = itertools.cycle([0.0, 9.0, 0.0, 0.0])  # the first of two rounds
    monkeypatch.setattr(pace, "stolen", lambda: next(readings))
    ours, theirs = [(1.0, 1.0), (1.0, None)], [(9.0, 9.0), (2.0, None)]
    result, _ = measured(suite.Patience(6), ours, theirs)
    assert result["torch_ratio"] == 2 and not result["undisturbed"]


def test_again_is_for_the_same_machine(tmp_path, capsys):
    out = tmp_path / "r.json"
    out.write_text(json.dumps({"machine": {"cpu": "another"}, "results": []}))
    assert main(["bench", "gemm", "--again", "--json", str(out)]) == 2
    assert "another machine (cpu: another, here " in capsys.readouterr().err


def test_again_measures_what_was_stolen_or_lacks_and_takes_over_the_rest(tmp_path):
    words = "bench embedding --rounds 1 --threads 1 --peers numpy".split()
    out = tmp_path / "r.json"
    assert main([*words, "--only", "0x64", "--json", str(out)]) == 0
    whole = json.loads(out.read_text())
    whole["results"][0].update(stolen=0.5, seconds=77.0)
    whole["results"][1]["seconds"] = 77.0
    out.write_text(json.dumps({**whole, "note": "kept"}))
    assert main([*words, "--only", "0x", "--json", str(out), "--again"]) == 0
    again = json.loads(out.read_text())
    assert again["note"] == "kept" and again["peaks"] == whole["peaks"]
    first, second, *new = again["results"]
    assert first["stolen"] == 0 and first["seconds"] < 77 and second == whole["results"][1]
    cases = [r["case"] for r in again["results"]]
    assert new and len(set(cases)) == len(cases)


def test_what_had_more_of_its_cores_is_kept():
    worse, better = {"seconds": 1, "stolen": 0.6}, {"seconds": 1, "stolen": 0.2}
    assert suite.less_stolen(worse, better) is suite.less_stolen(better, worse) is better
    assert suite.less_stolen({"errors": {}}, worse) is worse  # which had no time at all


def test_what_was_measured_is_saved_meanwhile(tmp_path, monkeypatch):
    monkeypatch.setattr(suite, "SAVE_SECONDS", 0)
    out, measure, asked = tmp_path / "r.json", suite.measure, []

    def interrupted(*args):
        asked.append(args)
        if len(asked) > 2:
            raise KeyboardInterrupt
        return measure(*args)

    monkeypatch.setattr(suite, "measure", interrupted)
    words = "bench embedding --rounds 1 --threads 1 --peers numpy --json".split()
    assert main([*words, str(out)]) == 130
    assert len(json.loads(out.read_text())["results"]) == 2


def test_calls_beside_a_slow_reading_are_told_from_others():
    paces = iter([1e9, 9e9, 9e9, 9e9, 4e9])
    sample = worker.Sample(lambda: next(paces, 5e9)).take(lambda: time.sleep(0.02))
    assert max(sample.readings) == 9e9 and sample.calls[0][1] == 9e9
    assert {reading for _, reading in sample.calls[2:]} <= {4e9, 5e9}
    assert sample.best(8e9) >= sample.best() >= 0.02
    assert sample.best(1e10) is None


def test_the_usual_pace_is_not_that_of_a_moment():
    assert pace.usual([7e9] * 50 + [1.3e10] * 40 + [1.6e10] * 5) == 1.3e10
    assert pace.usual([5e9]) == 5e9


@pytest.mark.parametrize("threads", [1, 2, 999])
def test_the_pace_of_a_core_is_some_additions_a_cycle(threads):
    readings = [pace.reader(threads)() for _ in range(5)]
    assert 1e8 < max(readings) < 1e11


def test_bfloat16_products_are_cases_where_the_cpu_has_a_unit_for_them():
    half, whole = (Case("", lambda t: lambda: None, peak=p) for p in ("flops_bfloat16", "flops"))
    assert limits.has_unit(half, {"flops": 1e9, "flops_bfloat16": 8e9})
    assert not limits.has_unit(half, {"flops": 1e9})
    assert limits.has_unit(whole, {"flops": 1e9})


def test_every_case_under_other_conditions_is_a_case_of_its_group():
    for group, case in conditions.CASES:
        assert [c.name for c in suite.cases_of(group, quick=True) if c.name == case] == [case]


def test_first_calls_are_measured(monkeypatch):
    monkeypatch.setattr(conditions, "ROUNDS", 1)
    first, later = conditions.first_call("fastnn", "gemm", "64x64x64 NN")
    assert 0 < later <= first
    with pytest.raises(RuntimeError, match="no such case"):
        conditions.first_call("fastnn", "gemm", "no such case")


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux")
def test_busy_neighbours_are_measured(monkeypatch):
    monkeypatch.setattr(conditions, "ROUNDS", 1)
    cores = os.sched_getaffinity(0)
    with conditions.busy(min(cores)) as number:
        assert os.sched_getaffinity(number) == {min(cores)}
    assert all(s > 0 for s in conditions.beside_busy_core("fastnn", "gemm", "64x64x64 NN"))
    assert os.sched_getaffinity(0) == cores
