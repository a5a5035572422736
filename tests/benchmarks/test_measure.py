"""A measurement says by itself whether its goal is kept."""

import sys

from benchmarks.measure import Measurement, cpu_seconds


def test_without_a_baseline_the_value_is_held_against_the_goal() -> None:
    assert Measurement("help", 0.3, "s", goal=0.4).holds
    assert not Measurement("help", 0.5, "s", goal=0.4).holds
    assert Measurement("help", 0.3, "s", goal=0.4).record()["ratio"] is None


def test_with_a_baseline_the_ratio_is() -> None:
    engine = Measurement("engine", 3.0, "s", goal=1.5, baseline=2.0)
    assert engine.holds
    assert engine.record() == {
        "name": "engine",
        "value": 3.0,
        "unit": "s",
        "goal": 1.5,
        "baseline": 2.0,
        "ratio": 1.5,
        "holds": True,
    }


def test_the_cpu_time_of_a_program_is_its_own() -> None:
    busy, idle = "sum(range(5_000_000))", "pass"
    spent = [cpu_seconds([sys.executable, "-c", program], times=1) for program in (busy, idle)]
    assert spent[0] > spent[1] >= 0
