"""A method for each operation of the service.

Made from the OpenAPI document by api/generating.py; `make client` makes it anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from typing import Literal

from api.client import models
from api.client.transport import Content, Received, Transport, part, parts


class Operations(Transport):
    """What a client can ask of the service."""

    async def operations_health(self) -> dict[str, str]:
        """Whether the process answers. It asks nothing of anybody, so that it is never slow."""
        return await self.call("GET", "/health")

    async def operations_ready(self) -> models.ReadinessTold:
        """Whether the service can do its work now: database, migrations, queue, models."""
        return await self.call("GET", "/ready")

    def operations_metrics(self) -> AbstractAsyncContextManager[Received]:
        """What Prometheus scrapes; with a token that may `metrics`."""
        return self.stream("GET", "/metrics")

    async def projects_list(
        self, *, limit: int | None = None, after: str | None = None
    ) -> models.ProjectPage:
        """The projects by name."""
        return await self.call("GET", "/api/v1/projects", params={"limit": limit, "after": after})

    async def projects_create(
        self, body: models.ProjectWanted, *, idempotency_key: str | None = None
    ) -> models.ProjectListed:
        """Make an empty project. A run makes its own where it names none that is there."""
        return await self.call(
            "POST", "/api/v1/projects", headers={"idempotency-key": idempotency_key}, json=body
        )

    async def projects_show(self, project: str, *, if_none_match: str | None = None) -> models.ProjectShown:
        """A project: its settings, and who works in it now."""
        return await self.call(
            "GET", f"/api/v1/projects/{part(project)}", headers={"if-none-match": if_none_match}
        )

    async def projects_settings(
        self, project: str, *, if_none_match: str | None = None
    ) -> models.SettingsShownOutput:
        """What may be set through the API, as the operator's file has it."""
        return await self.call(
            "GET", f"/api/v1/projects/{part(project)}/settings", headers={"if-none-match": if_none_match}
        )

    async def projects_set(
        self, project: str, body: models.SettingsShownInput, *, if_match: str | None = None
    ) -> models.SettingsShownOutput:
        """Put these settings in the place of those in the operator's file; what else it says stays."""
        return await self.call(
            "PUT", f"/api/v1/projects/{part(project)}/settings", headers={"if-match": if_match}, json=body
        )

    async def projects_clean(
        self, project: str, body: models.CleanWanted, *, idempotency_key: str | None = None
    ) -> models.Cleaned:
        """Remove the worktrees that failed stages of ended runs left. What was not merged is in them
        only."""
        return await self.call(
            "POST",
            f"/api/v1/projects/{part(project)}/clean",
            headers={"idempotency-key": idempotency_key},
            json=body,
        )

    async def runs_list(
        self,
        *,
        project: str | None = None,
        status: Sequence[
            Literal[
                "draft",
                "governance_analysis",
                "awaiting_approval",
                "approved",
                "rejected",
                "planning",
                "in_progress",
                "awaiting_input",
                "paused",
                "validating",
                "deployable",
                "completed",
                "failed",
                "cancelled",
            ]
        ]
        | None = None,
        pipeline: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> models.RunPage:
        """The runs, the newest first."""
        return await self.call(
            "GET",
            "/api/v1/runs",
            params={
                "project": project,
                "status": status,
                "pipeline": pipeline,
                "limit": limit,
                "after": after,
            },
        )

    async def runs_submit(
        self, body: models.RunWanted, *, idempotency_key: str | None = None
    ) -> models.RunSummary:
        """Record a run and have it executed."""
        return await self.call(
            "POST", "/api/v1/runs", headers={"idempotency-key": idempotency_key}, json=body
        )

    async def runs_change(
        self, body: models.ChangeWanted, *, idempotency_key: str | None = None
    ) -> models.RunSummary:
        """Record a run that changes what is there; only the teams that it concerns work."""
        return await self.call(
            "POST", "/api/v1/changes", headers={"idempotency-key": idempotency_key}, json=body
        )

    async def runs_show(self, run_id: str, *, if_none_match: str | None = None) -> models.RunSummary:
        """How far a run has come."""
        return await self.call(
            "GET", f"/api/v1/runs/{part(run_id)}", headers={"if-none-match": if_none_match}
        )

    async def runs_record(self, run_id: str) -> models.RunRecord:
        """What a run was given: its requirement, pipeline, budget."""
        return await self.call("GET", f"/api/v1/runs/{part(run_id)}/record")

    async def runs_cancel(
        self, run_id: str, body: models.Reasoned | None = None, *, idempotency_key: str | None = None
    ) -> models.RunSummary:
        """Have a run end as cancelled, whichever process drives it. What it merged stays on its branch."""
        return await self.call(
            "POST",
            f"/api/v1/runs/{part(run_id)}/cancel",
            headers={"idempotency-key": idempotency_key},
            json=body,
        )

    async def runs_pause(
        self, run_id: str, body: models.Reasoned | None = None, *, idempotency_key: str | None = None
    ) -> models.RunSummary:
        """Have a run stand still until it is resumed; its questions stay open."""
        return await self.call(
            "POST",
            f"/api/v1/runs/{part(run_id)}/pause",
            headers={"idempotency-key": idempotency_key},
            json=body,
        )

    async def runs_resume(self, run_id: str, *, idempotency_key: str | None = None) -> models.RunSummary:
        """Have a run that was interrupted or paused go on. One that goes on already is left to do so."""
        return await self.call(
            "POST", f"/api/v1/runs/{part(run_id)}/resume", headers={"idempotency-key": idempotency_key}
        )

    async def runs_rollback(
        self, run_id: str, body: models.RollbackWanted, *, idempotency_key: str | None = None
    ) -> models.RunSummary:
        """Take a run back to where a stage had ended. It waits there until it is resumed; nothing is
        lost."""
        return await self.call(
            "POST",
            f"/api/v1/runs/{part(run_id)}/rollback",
            headers={"idempotency-key": idempotency_key},
            json=body,
        )

    async def runs_retry(self, run_id: str, *, idempotency_key: str | None = None) -> models.RunSummary:
        """Begin anew with what an ended run was given: a run of its own, in the same project."""
        return await self.call(
            "POST", f"/api/v1/runs/{part(run_id)}/retry", headers={"idempotency-key": idempotency_key}
        )

    async def runs_purge(
        self, run_id: str, body: models.PurgeWanted, *, idempotency_key: str | None = None
    ) -> models.PurgedShown:
        """Remove for good what an ended run was given, said and could go on from, once its time is over.
        Its chain of events stays whole, with a mark where each text was; so do its costs and what it
        merged."""
        return await self.call(
            "POST",
            f"/api/v1/runs/{part(run_id)}/purge",
            headers={"idempotency-key": idempotency_key},
            json=body,
        )

    def events_of_run(
        self,
        run_id: str,
        *,
        kind: Sequence[str] | None = None,
        after: int | None = None,
        last_event_id: str | None = None,
    ) -> AbstractAsyncContextManager[Received]:
        """Stream a run's events: those there were, then those to come, to the run's end. Ids are `seq`."""
        return self.stream(
            "GET",
            f"/api/v1/runs/{part(run_id)}/events/stream",
            params={"kind": kind, "after": after},
            headers={"last-event-id": last_event_id},
        )

    def events_of_all(
        self,
        *,
        run: Sequence[str] | None = None,
        project: Sequence[str] | None = None,
        kind: Sequence[str] | None = None,
        after: int | None = None,
        last_event_id: str | None = None,
    ) -> AbstractAsyncContextManager[Received]:
        """Stream the events of all runs, from now on or after a position; ids are positions."""
        return self.stream(
            "GET",
            "/api/v1/events/stream",
            params={"run": run, "project": project, "kind": kind, "after": after},
            headers={"last-event-id": last_event_id},
        )

    async def events_list(
        self,
        run_id: str,
        *,
        kind: Sequence[str] | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> models.EventPage:
        """The run's events so far, in their order, a page at a time."""
        return await self.call(
            "GET",
            f"/api/v1/runs/{part(run_id)}/events",
            params={"kind": kind, "limit": limit, "after": after},
        )

    async def runs_stages(self, run_id: str) -> models.StageList:
        """How the stages of a run go."""
        return await self.call("GET", f"/api/v1/runs/{part(run_id)}/stages")

    async def runs_stage(self, run_id: str, team: str) -> models.StageWork:
        """One stage: its brief, its result, and the files that it handed over."""
        return await self.call("GET", f"/api/v1/runs/{part(run_id)}/stages/{part(team)}")

    async def artifacts_list(
        self, run_id: str, *, changed: bool | None = None, limit: int | None = None, after: str | None = None
    ) -> models.ArtifactPage:
        """The files of the run's branch, by their paths."""
        return await self.call(
            "GET",
            f"/api/v1/runs/{part(run_id)}/artifacts",
            params={"changed": changed, "limit": limit, "after": after},
        )

    def artifacts_read(
        self,
        run_id: str,
        path: str,
        *,
        range: str | None = None,
        if_range: str | None = None,
        if_none_match: str | None = None,
    ) -> AbstractAsyncContextManager[Received]:
        """A file, or one range of it; never shown or run by a browser."""
        return self.stream(
            "GET",
            f"/api/v1/runs/{part(run_id)}/artifacts/{parts(path)}",
            headers={"Range": range, "if-range": if_range, "if-none-match": if_none_match},
        )

    async def artifacts_diff(self, run_id: str, *, stat: bool | None = None) -> models.DiffShown:
        """What a run changed, from where it began to where it is."""
        return await self.call("GET", f"/api/v1/runs/{part(run_id)}/diff", params={"stat": stat})

    def artifacts_archive(
        self, run_id: str, *, format: Literal["tar", "zip"] | None = None
    ) -> AbstractAsyncContextManager[Received]:
        """All files of the run's branch in one download, packed while it is sent."""
        return self.stream("GET", f"/api/v1/runs/{part(run_id)}/archive", params={"format": format})

    async def approvals_list(
        self,
        *,
        run: str | None = None,
        project: str | None = None,
        kind: Literal["approval", "clarification", "escalation", "review", "budget", "release", "promotion"]
        | None = None,
        state: Literal["open", "decided", "all"] | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> models.ApprovalPage:
        """Questions to people, the oldest first."""
        return await self.call(
            "GET",
            "/api/v1/approvals",
            params={
                "run": run,
                "project": project,
                "kind": kind,
                "state": state,
                "limit": limit,
                "after": after,
            },
        )

    async def approvals_show(self, approval_id: str) -> models.ApprovalShown:
        """One question."""
        return await self.call("GET", f"/api/v1/approvals/{part(approval_id)}")

    async def approvals_decide(
        self, approval_id: str, body: models.DecisionWanted, *, idempotency_key: str | None = None
    ) -> models.ApprovalShown:
        """Decide a question, once, whoever comes first; its run goes on. Somebody was quicker: 409. Words
        to a question take the permission to answer, everything else the one to approve."""
        return await self.call(
            "POST",
            f"/api/v1/approvals/{part(approval_id)}/decision",
            headers={"idempotency-key": idempotency_key},
            json=body,
        )

    async def clarifications_list(
        self,
        *,
        run: str | None = None,
        project: str | None = None,
        status: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> models.ClarificationPage:
        """Questions of teams to each other, the oldest first."""
        return await self.call(
            "GET",
            "/api/v1/clarifications",
            params={"run": run, "project": project, "status": status, "limit": limit, "after": after},
        )

    async def clarifications_show(self, clarification_id: str) -> models.ClarificationShown:
        """One question."""
        return await self.call("GET", f"/api/v1/clarifications/{part(clarification_id)}")

    async def teams_list(self) -> models.TeamList:
        """The teams, in the order of the full pipeline."""
        return await self.call("GET", "/api/v1/teams")

    async def teams_show(self, team: str, *, if_none_match: str | None = None) -> models.Team:
        """One team, with its operatives and its texts."""
        return await self.call("GET", f"/api/v1/teams/{part(team)}", headers={"if-none-match": if_none_match})

    async def memory_search(
        self,
        project: str,
        *,
        query: str,
        team: str | None = None,
        shared: bool | None = None,
        kind: Sequence[models.Kind] | None = None,
        limit: int | None = None,
        as_of: str | None = None,
    ) -> models.MemoriesFound:
        """Find what the teams know about something, the best first."""
        return await self.call(
            "GET",
            f"/api/v1/projects/{part(project)}/memories/search",
            params={
                "query": query,
                "team": team,
                "shared": shared,
                "kind": kind,
                "limit": limit,
                "as_of": as_of,
            },
        )

    async def memory_banks(self, project: str) -> models.BankList:
        """The banks of a project."""
        return await self.call("GET", f"/api/v1/projects/{part(project)}/banks")

    async def memory_list(
        self,
        project: str,
        bank: str,
        *,
        kind: Sequence[models.Kind] | None = None,
        past: bool | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> models.MemoryPage:
        """What lies in one bank, in the order in which it came."""
        return await self.call(
            "GET",
            f"/api/v1/projects/{part(project)}/banks/{part(bank)}/memories",
            params={"kind": kind, "past": past, "limit": limit, "after": after},
        )

    async def memory_add(
        self, project: str, body: models.MemoryWanted, *, idempotency_key: str | None = None
    ) -> models.MemoryKept:
        """Tell a team, or all of them, a rule or a fact. It stands in the caller's name."""
        return await self.call(
            "POST",
            f"/api/v1/projects/{part(project)}/memories",
            headers={"idempotency-key": idempotency_key},
            json=body,
        )

    async def memory_show(self, memory_id: str) -> models.MemoryShown:
        """One memory, whatever became of it."""
        return await self.call("GET", f"/api/v1/memories/{part(memory_id)}")

    async def memory_forget(
        self, memory_id: str, body: models.ForgetWanted, *, idempotency_key: str | None = None
    ) -> models.Forgot:
        """Take a memory out of wherever it stands, with all that was made of it. It cannot be undone."""
        return await self.call(
            "POST",
            f"/api/v1/memories/{part(memory_id)}/forget",
            headers={"idempotency-key": idempotency_key},
            json=body,
        )

    async def memory_promote(self, memory_id: str, *, idempotency_key: str | None = None) -> models.Shared:
        """Share a team's memory with all teams of its project."""
        return await self.call(
            "POST",
            f"/api/v1/memories/{part(memory_id)}/promote",
            headers={"idempotency-key": idempotency_key},
        )

    async def memory_why(
        self, *, phrase: str, run: str | None = None, stage: str | None = None
    ) -> models.Why:
        """Why is this believed? Names run, stage, file and line."""
        return await self.call(
            "GET", "/api/v1/memories", params={"phrase": phrase, "run": run, "stage": stage}
        )

    async def memory_models(self, project: str) -> models.PageList:
        """The newest page of each team of a project."""
        return await self.call("GET", f"/api/v1/projects/{part(project)}/mental-models")

    async def memory_model(
        self, project: str, team: str, *, version: int | None = None, if_none_match: str | None = None
    ) -> models.PageShown:
        """A team's page as it is now, or one of its versions."""
        return await self.call(
            "GET",
            f"/api/v1/projects/{part(project)}/mental-models/{part(team)}",
            params={"version": version},
            headers={"if-none-match": if_none_match},
        )

    async def memory_edit(
        self, project: str, team: str, body: models.PageWanted, *, if_match: str | None = None
    ) -> models.PageShown:
        """Put a person's page in the place of the newest; no refresh takes their lines away."""
        return await self.call(
            "PUT",
            f"/api/v1/projects/{part(project)}/mental-models/{part(team)}",
            headers={"if-match": if_match},
            json=body,
        )

    async def memory_versions(self, project: str, team: str) -> models.PageList:
        """All versions of a team's page, the oldest first."""
        return await self.call("GET", f"/api/v1/projects/{part(project)}/mental-models/{part(team)}/versions")

    async def memory_diff(self, project: str, team: str, version: int) -> models.PageDiff:
        """What a version changed."""
        return await self.call(
            "GET",
            f"/api/v1/projects/{part(project)}/mental-models/{part(team)}/versions/{part(version)}/diff",
        )

    async def models_list(self) -> models.ModelsShown:
        """The aliases, the pools and their accounts."""
        return await self.call("GET", "/api/v1/models")

    async def models_why(self, *, name: str, project: str | None = None) -> models.Explained:
        """Who is chosen for an alias or a team, who is not, and why."""
        return await self.call("GET", "/api/v1/models/why", params={"name": name, "project": project})

    async def models_check(
        self, body: models.CheckWanted, *, idempotency_key: str | None = None
    ) -> models.Checks:
        """Ask every account one tiny question. It costs a few tokens each."""
        return await self.call(
            "POST", "/api/v1/models/check", headers={"idempotency-key": idempotency_key}, json=body
        )

    async def models_accounts(
        self, *, limit: int | None = None, after: str | None = None
    ) -> models.AccountPage:
        """The accounts with their models, prices and capabilities; never a key."""
        return await self.call("GET", "/api/v1/accounts", params={"limit": limit, "after": after})

    async def costs_show(
        self,
        *,
        by: Literal["team", "alias", "account", "model", "project", "day"] | None = None,
        run: str | None = None,
        project: str | None = None,
        since: str | None = None,
        until: str | None = None,
        format: Literal["json", "csv"] | None = None,
    ) -> models.CostsShown:
        """What was spent on models, the dearest first, days in their order."""
        return await self.call(
            "GET",
            "/api/v1/costs",
            params={
                "by": by,
                "run": run,
                "project": project,
                "since": since,
                "until": until,
                "format": format,
            },
        )

    async def costs_budgets(
        self,
        *,
        scope: Literal["run", "stage", "team", "project", "account", "day"] | None = None,
        run: str | None = None,
        project: str | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> models.BudgetPage:
        """The budgets, and how they stand."""
        return await self.call(
            "GET",
            "/api/v1/budgets",
            params={"scope": scope, "run": run, "project": project, "limit": limit, "after": after},
        )

    async def costs_budget(self, budget_id: str, *, if_none_match: str | None = None) -> models.BudgetShown:
        """One budget. What is agreed for a project is set in its settings."""
        return await self.call(
            "GET", f"/api/v1/budgets/{parts(budget_id)}", headers={"if-none-match": if_none_match}
        )

    async def costs_extend(
        self,
        budget_id: str,
        body: models.Extension,
        *,
        idempotency_key: str | None = None,
        if_match: str | None = None,
    ) -> models.BudgetShown:
        """Extend a budget. A run that waits for it is answered by deciding its question instead."""
        return await self.call(
            "POST",
            f"/api/v1/extensions/{parts(budget_id)}",
            headers={"idempotency-key": idempotency_key, "if-match": if_match},
            json=body,
        )

    async def audit_find(
        self, *, phrase: str, run: str | None = None, limit: int | None = None
    ) -> models.Found:
        """Find a phrase in all that any run was given, said, asked, answered and wrote."""
        return await self.call(
            "GET", "/api/v1/audit/search", params={"phrase": phrase, "run": run, "limit": limit}
        )

    async def audit_verify(self, *, run: str | None = None) -> models.Verified:
        """Prove that no event and no text was changed, removed or put in."""
        return await self.call("GET", "/api/v1/audit/verification", params={"run": run})

    async def audit_verify_against(
        self, content: Content, *, idempotency_key: str | None = None
    ) -> models.Verified:
        """Prove also that the chains lead through where they stood at a checkpoint."""
        return await self.call(
            "POST",
            "/api/v1/audit/verification",
            headers={"idempotency-key": idempotency_key},
            content=content,
        )

    def audit_checkpoint(
        self, *, idempotency_key: str | None = None
    ) -> AbstractAsyncContextManager[Received]:
        """Sign where all chains stand now. Keep it where neither the server nor its database can write."""
        return self.stream("POST", "/api/v1/audit/checkpoint", headers={"idempotency-key": idempotency_key})

    def audit_export(self, *, run: str | None = None) -> AbstractAsyncContextManager[Received]:
        """Chains and their texts as JSONL that proves itself; nothing is sent where one is not whole."""
        return self.stream("GET", "/api/v1/audit/export", params={"run": run})

    async def schedules_list(
        self, *, project: str | None = None, limit: int | None = None, after: str | None = None
    ) -> models.SchedulePage:
        """The schedules."""
        return await self.call(
            "GET", "/api/v1/schedules", params={"project": project, "limit": limit, "after": after}
        )

    async def schedules_add(
        self, body: models.ScheduleWanted, *, idempotency_key: str | None = None
    ) -> models.ScheduleShown:
        """Have workers submit a run at each of these times, on behalf of who asks for it here."""
        return await self.call(
            "POST", "/api/v1/schedules", headers={"idempotency-key": idempotency_key}, json=body
        )

    async def schedules_show(self, schedule_id: str) -> models.ScheduleShown:
        """One schedule."""
        return await self.call("GET", f"/api/v1/schedules/{part(schedule_id)}")

    async def schedules_remove(self, schedule_id: str) -> None:
        """Take a schedule away. Runs that it has started go on."""
        await self.call("DELETE", f"/api/v1/schedules/{part(schedule_id)}")

    async def schedules_pause(
        self, schedule_id: str, *, idempotency_key: str | None = None
    ) -> models.ScheduleShown:
        """Let a schedule rest until it is resumed. Runs that it has started go on."""
        return await self.call(
            "POST",
            f"/api/v1/schedules/{part(schedule_id)}/pause",
            headers={"idempotency-key": idempotency_key},
        )

    async def schedules_resume(
        self, schedule_id: str, *, idempotency_key: str | None = None
    ) -> models.ScheduleShown:
        """Let a schedule go on with its next time; what came while it rested is not made up."""
        return await self.call(
            "POST",
            f"/api/v1/schedules/{part(schedule_id)}/resume",
            headers={"idempotency-key": idempotency_key},
        )

    async def webhooks_list(
        self, *, limit: int | None = None, after: str | None = None
    ) -> models.WebhookPage:
        """The webhooks, without their secrets."""
        return await self.call("GET", "/api/v1/webhooks", params={"limit": limit, "after": after})

    async def webhooks_add(self, body: models.WebhookWanted) -> models.WebhookMade:
        """Add a webhook. It is told of what happens from now on, signed with a secret that is shown this
        once."""
        return await self.call("POST", "/api/v1/webhooks", json=body)

    async def webhooks_show(self, webhook_id: str) -> models.WebhookShown:
        """One webhook, without its secret."""
        return await self.call("GET", f"/api/v1/webhooks/{part(webhook_id)}")

    async def webhooks_remove(self, webhook_id: str) -> None:
        """Remove a webhook and its deliveries."""
        await self.call("DELETE", f"/api/v1/webhooks/{part(webhook_id)}")

    async def webhooks_enable(self, webhook_id: str) -> models.WebhookShown:
        """Tell a webhook again that was disabled; of what happened meanwhile it is not told."""
        return await self.call("POST", f"/api/v1/webhooks/{part(webhook_id)}/enable")

    async def webhooks_deliveries(
        self,
        webhook_id: str,
        *,
        state: Literal["pending", "delivered", "failed"] | None = None,
        limit: int | None = None,
        after: str | None = None,
    ) -> models.DeliveryPage:
        """What was sent to a webhook in the last 30 days, or is to be, the newest first."""
        return await self.call(
            "GET",
            f"/api/v1/webhooks/{part(webhook_id)}/deliveries",
            params={"state": state, "limit": limit, "after": after},
        )

    async def webhooks_redeliver(self, webhook_id: str, delivery_id: str) -> models.DeliveryShown:
        """Send a message again, under the same id."""
        return await self.call(
            "POST", f"/api/v1/webhooks/{part(webhook_id)}/deliveries/{part(delivery_id)}/redeliver"
        )

    async def projects_import(self, project: str, content: Content) -> models.ProjectListed:
        """Make a project with the history of a git bundle; nothing of the bundle's configuration is used."""
        return await self.call("PUT", f"/api/v1/projects/{part(project)}/import", content=content)

    async def access_list_users(
        self, *, after: str | None = None, limit: int | None = None
    ) -> models.UserPage:
        """The users."""
        return await self.call("GET", "/api/v1/users", params={"after": after, "limit": limit})

    async def access_add_user(self, body: models.UserWanted) -> models.User:
        """Add a user. Only a director makes a director."""
        return await self.call("POST", "/api/v1/users", json=body)

    async def access_show_user(self, name: str) -> models.User:
        """One user."""
        return await self.call("GET", f"/api/v1/users/{part(name)}")

    async def access_change_user(self, name: str, body: models.UserChange) -> models.User:
        """Give a user another role or password; their sign-ins of before end."""
        return await self.call("PATCH", f"/api/v1/users/{part(name)}", json=body)

    async def access_delete_user(self, name: str) -> None:
        """Close the door to a user, their tokens and sign-ins. The name is not given again."""
        await self.call("DELETE", f"/api/v1/users/{part(name)}")

    async def access_list_tokens(
        self, *, user: str | None = None, after: str | None = None, limit: int | None = None
    ) -> models.TokenPage:
        """The caller's API tokens; a director sees everybody's, or those of `user`."""
        return await self.call("GET", "/api/v1/tokens", params={"user": user, "after": after, "limit": limit})

    async def access_issue_token(self, body: models.TokenWanted) -> models.TokenMade:
        """Make an API token: for oneself, or, by a director, for a program (a user without a password)."""
        return await self.call("POST", "/api/v1/tokens", json=body)

    async def access_show_token(self, token_id: str) -> models.Token:
        """One API token, without its secret."""
        return await self.call("GET", f"/api/v1/tokens/{part(token_id)}")

    async def access_revoke_token(self, token_id: str) -> None:
        """End an API token, at once."""
        await self.call("DELETE", f"/api/v1/tokens/{part(token_id)}")

    async def access_sign_in(self, body: models.SignIn) -> models.Session:
        """Sign in with name and password."""
        return await self.call("POST", "/api/v1/sessions", json=body)

    async def access_refresh_session(self, body: models.Refresh) -> models.Session:
        """The next access token. The refresh token is used up; the answer has the next one."""
        return await self.call("POST", "/api/v1/sessions/refresh", json=body)

    async def access_who_am_i(self) -> models.Myself:
        """Who the caller is, and what this token is good for."""
        return await self.call("GET", "/api/v1/sessions/current")

    async def access_sign_out(self) -> None:
        """Sign out: the session's tokens are good for nothing from now on."""
        await self.call("DELETE", "/api/v1/sessions/current")
