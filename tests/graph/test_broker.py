import pytest

from graph.broker import PERSON, Request, refusal

TEAMS = ("backend", "api", "database", "qa")


def request(target: str, *, chain: tuple[str, ...] = ("backend",), asked: int = 0) -> Request:
    return Request(chain[-1], target, "Which port?", chain, asked=asked, most=3, depth=2)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (request("api"), ""),
        (request(PERSON), ""),
        (request("backend"), "cannot ask itself"),
        (request("nobody"), "there is no team 'nobody'"),
        (request("backend", chain=("backend", "api")), "in a circle"),
        (request("database", chain=("backend", "api")), ""),
        (request("qa", chain=("backend", "api", "database")), "2 hops"),
        (request("api", asked=3), "3 questions were put"),
    ],
)
def test_the_broker_refuses_and_says_why(asked: Request, said: str) -> None:
    reason = refusal(asked, TEAMS)
    assert said in reason
    assert bool(reason) is bool(said)


def test_an_empty_question_is_refused() -> None:
    assert "empty" in refusal(Request("backend", "api", "  ", ("backend",), 0, 3, 2), TEAMS)
