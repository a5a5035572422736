"""How long a deployment is left alone, when calls that were under way together fail one after the other."""

from typing import Any, cast

import pytest

from core import clock
from models.catalogue import load
from models.routing.deployment import Account, Deployment
from models.routing.failures import Failure


def a_deployment() -> tuple[Deployment, Any]:
    catalogue = load()
    account = Account("a", "openai", "http://127.0.0.1", local=True)
    spec = catalogue.spec("gpt-double")
    return Deployment(account, "gpt-double", spec, cast(Any, None), priced=True), catalogue.routing


@pytest.mark.parametrize("second", ["broken", "unreachable"])
def test_what_a_server_asked_for_is_not_cut_short_by_a_call_that_was_under_way(second: Any) -> None:
    deployment, rules = a_deployment()
    deployment.started(rules, 60)
    deployment.started(rules, 60)
    deployment.failed(Failure("broken", "HTTP 503", retry_after=30), rules)
    deployment.failed(Failure(second, "cut"), rules)
    assert deployment.free_at() - clock.monotonic() > 25
