"""Work that a schedule or a letter gives a project: a run like any other, of nothing but its words."""

from __future__ import annotations

from decimal import Decimal

from graph.runner import Factory
from graph.schedules.schedules import Work
from graph.submitting import Terms
from workspace.mail.message import is_mail


async def give(
    factory: Factory,
    project: str,
    text: str,
    work: Work,
    *,
    by: str,
    mail: str = "",
    run_id: str | None = None,
) -> str:
    """Record the run and return its id. `work` says what it is given beside the text, for whom `by` stands.

    Raises BadInput where it is refused; `mail` and `run_id` as in `Terms`.
    """
    repository = await factory.services.project(project)
    terms = Terms(
        approve_all=work.approve_all,
        budget_usd=None if work.budget_usd is None else Decimal(work.budget_usd),
        widens=False,
        by=by,
        mail=mail,
        run_id=run_id,
    )
    # In a project that holds something, a run from the text alone would begin from nothing.
    if any(not is_mail(path) for path in await repository.files("refs/heads/main")):
        return await factory.change(project, text, pipeline=work.pipeline, **terms)
    return await factory.submit(text, project=project, pipeline=work.pipeline, **terms)
