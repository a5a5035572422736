"""Nothing holds the event loop up in a run and its rollback: no process or folder is waited for in it."""

from __future__ import annotations

from blockbuster import blockbuster_ctx

from tests.graph.conftest import OpenSmall
from tests.graph.test_rollback import finished, to_the_end

OURS = ["core", "models", "workspace", "governance", "teams", "graph", "api"]
# A look at one path takes microseconds.
INSTANT = ("os.stat",)


async def test_a_run_and_its_rollback_never_hold_the_event_loop_up(open_small: OpenSmall) -> None:
    async with open_small() as factory:
        with blockbuster_ctx(scanned_modules=OURS) as watch:
            for name in INSTANT:
                watch.functions[name].deactivate()
            run_id = await finished(factory)
            await factory.roll_back(run_id, "maker", by="Ada")
            await to_the_end(factory, run_id)
