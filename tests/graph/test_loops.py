from graph.loops import WINDOW, detect, entry, remember


def act(name: str, seen: str = "ok", *, failed: bool = False):
    return entry("bash", {"command": name}, seen, failed=failed)


def test_the_same_action_and_observation_three_times_is_a_loop() -> None:
    assert "same action" in detect([act("ls")] * 3)
    assert not detect([act("ls")] * 2)


def test_the_same_action_with_a_changing_observation_is_work() -> None:
    assert not detect([act("pytest", f"{n} failed", failed=True) for n in (3, 2, 1)])


def test_two_alternating_actions_are_a_loop() -> None:
    assert "alternate" in detect([act("a"), act("b"), act("a"), act("b")])
    assert not detect([act("a"), act("b"), act("a"), act("c")])


def test_the_same_error_three_times_is_a_loop_whatever_stands_between() -> None:
    trace = [act("x", "no such file", failed=True), act("ls", "1"), act("y", "no such file", failed=True)]
    assert not detect(trace)
    assert "same error" in detect([*trace, act("ls", "2"), act("z", "no such file", failed=True)])


def test_the_trace_is_bounded() -> None:
    assert len(remember([act(str(n)) for n in range(50)], [act("last")])) == WINDOW


def test_half_a_surrogate_pair_from_a_hostile_model_is_an_entry_like_any() -> None:
    assert entry("bash", {"command": "\ud800"}, "no \ud800", failed=True)["observation"]
