"""What the teams around the program write: compliance, security, deployment, operations."""

from models.offline.documents import change_effect, quote
from models.offline.job import Files, Job, Writer
from models.offline.naming import spoken
from models.offline.rendering import render

ASSESSMENT = "docs/compliance/assessment.md"


def compliance(job: Job) -> Files:
    """The assessment; in a later round what changed since, since the owner's answer stands in the first."""
    if job.round > 1 and ASSESSMENT in job.worktree:
        effect = change_effect(job)
        change = render("docs/compliance_change.md", comment=quote(job.comments), effect=effect)
        return {"docs/compliance/changes.md": change}
    told = (
        quote(job.answer) if job.answer else "Nobody has answered yet; the assumption in the question holds."
    )
    return {
        ASSESSMENT: render(
            "docs/assessment.md",
            personal=personal(job),
            question=job.question or "none",
            answer=f"Answer:\n\n{told}" if job.answer else told,
            **job.common(),
        ),
        "THIRD_PARTY.md": render("docs/third_party.md"),
    }


def personal(job: Job) -> str:
    """Which rows are about people."""
    people = [entity for entity in job.domain.entities if entity.personal]
    if not people:
        return "No collection is about people by its name. Free text may still name them."
    return "\n".join(
        f"- {spoken(entity.plural)}: {', '.join(spoken(field.name) for field in entity.fields)}"
        for entity in people
    )


def security(job: Job) -> Files:
    """The threat model, where to report, and tests that attack."""
    people = (
        f"\nRows about people:\n\n{personal(job)}\n" if any(e.personal for e in job.domain.entities) else ""
    )
    return {
        "docs/security/threat-model.md": render("security/threat-model.md", personal=people, **job.common()),
        "SECURITY.md": render("security/SECURITY.md"),
        "tests/security/test_attacks.py": render("security/test_attacks.py", **job.common()),
    }


def devops(job: Job) -> Files:
    """The container, the compose file, continuous integration."""
    names = {
        "Dockerfile": "Dockerfile",
        ".dockerignore": "dockerignore",
        "compose.yaml": "compose.yaml",
        ".github/workflows/ci.yml": "ci.yml",
        "Makefile": "Makefile",
    }
    return {path: render(f"operations/{name}", **job.common()) for path, name in names.items()}


def sre(job: Job) -> Files:
    """The runbook and the service levels."""
    return {
        f"docs/operations/{name}.md": render(f"operations/{name}.md", **job.common())
        for name in ("runbook", "slo")
    }


WRITERS: dict[str, Writer] = {
    "compliance_legal": compliance,
    "security_engineering": security,
    "devops_infrastructure": devops,
    "sre_operations": sre,
}
