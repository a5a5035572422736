"""What the teams that write documents write: every page as text, from the templates."""

import json

from models.offline.domain import Entity
from models.offline.job import Files, Job, Writer
from models.offline.naming import spoken
from models.offline.rendering import fence, render
from models.offline.samples import change, row

REQUIREMENTS = "docs/analysis/requirements.md"
CHANGES = "## Changes asked for in review"
ADR = "docs/adr/0001-sqlite-and-the-standard-library.md"

SHOWN = 2_000  # characters of a requirement that a page quotes


def analysis(job: Job) -> Files:
    """The requirements, numbered, and the words."""
    domain = job.domain
    entities = "".join(
        f"### {spoken(entity.plural).capitalize()}\n\n{field_list(entity)}\n" for entity in domain.entities
    )
    operations = "\n".join(
        f"- {verb.verb} {spoken(verb.plural)}: `{verb.served_by}`" for verb in domain.operations
    )
    numbered = [
        f"{spoken(entity.plural).capitalize()} can be created, listed, filtered, read, changed and deleted."
        for entity in domain.entities
    ]
    numbered += [
        "A row that is not valid is refused, and every wrong field is named.",
        "The id of a deleted row is never used again.",
        "Everything is kept in one SQLite file and is there again after a restart.",
    ]
    answers = render("docs/answer.md", question=job.question, answer=quote(job.answer)) if job.answer else ""
    text = render(
        "docs/requirements.md",
        quoted=quoted(job),
        entities=entities,
        operations=operations or "The text names no particular action: the usual five hold for everything.",
        numbered="\n".join(f"R{number}. {text}\n" for number, text in enumerate(numbered, 1)).rstrip(),
        answers=answers,
        **job.common(),
    )
    if job.round > 1:
        text = text.rstrip() + "\n" + change_note(job)
    return {REQUIREMENTS: text, "docs/analysis/glossary.md": glossary(job)}


def glossary(job: Job) -> str:
    """A line for each entity."""
    rows = "".join(
        f"| {spoken(entity.name)} | one row of `/api/{entity.plural}`: "
        f"{', '.join(spoken(field.name) for field in entity.fields)} |\n"
        for entity in job.domain.entities
    )
    return render("docs/glossary.md", rows=rows)


def change_note(job: Job) -> str:
    """What a review asked for in this round, and what it changes."""
    comment = quote(job.comments)
    return render("docs/change.md", number=str(job.round), comment=comment, effect=change_effect(job))


def change_effect(job: Job) -> str:
    """What a review's comment changes in the data, in words."""
    return " ".join(job.domain.changes) or (
        "nothing. The comment asks for something else than data; it stands here for people to read."
    )


def product(job: Job) -> Files:
    """The brief: for whom, what counts as done, what not now."""
    return {"docs/product/brief.md": render("docs/brief.md", quoted=quoted(job), **job.common())}


def design(job: Job) -> Files:
    """How it looks and feels."""
    entities = "".join(
        f"### {spoken(entity.plural).capitalize()}\n\n{field_list(entity)}\n"
        for entity in job.domain.entities
    )
    return {"docs/design/experience.md": render("docs/experience.md", entities=entities, **job.common())}


def architecture(job: Job, *, whole: bool = True) -> Files:
    """The overview and the first decision. `whole`: with the section that the review asks for."""
    collections = "\n".join(f"  - `/api/{entity.plural}`" for entity in job.domain.entities)
    adr = render("docs/adr.md", **job.common())
    return {
        ADR: adr + consequences() if whole else adr,
        "docs/architecture/overview.md": render("docs/overview.md", collections=collections, **job.common()),
    }


def consequences() -> str:
    """The section that the first version of the decision lacks."""
    return render("docs/adr_consequences.md")


def documentation(job: Job) -> Files:
    """README, change log, user guide, index. Links go only to what the brief says is there."""
    first = job.domain.entities[0]
    pages = sorted(
        path for path in job.worktree if path.startswith("docs/") and path.endswith((".md", ".json"))
    )
    pages = [path for path in pages if path not in {"docs/README.md", "docs/guide/user-guide.md"}]
    has_page = job.has("web/index.html")
    page = "\nOr open `http://127.0.0.1:8000/` in a browser.\n" if has_page else ""
    changes = "".join(f"- {text}\n" for text in job.domain.changes)
    if job.comments and not changes:
        changes = "- A review asked for a change that is recorded in the requirements.\n"
    guide = "".join(_guide(entity) for entity in job.domain.entities)
    dates = [
        (entity, field) for entity in job.domain.entities for field in entity.fields if field.kind == "date"
    ]
    example = f": `/api/{dates[0][0].plural}?{dates[0][1].name}_before=2024-06-01`" if dates else ""
    links = ["- [User guide](docs/guide/user-guide.md)", "- [All documents](docs/README.md)"]
    index = ["- [User guide](guide/user-guide.md)"]
    index += [f"- [{path.removeprefix('docs/')}]({path.removeprefix('docs/')})" for path in pages]
    return {
        "README.md": render(
            "docs/README_root.md",
            sample=json.dumps(row(first)),
            page=page,
            links="\n".join(links),
            **job.common(),
        ),
        "CHANGELOG.md": render("docs/changelog.md", changes=changes, **job.common()).rstrip() + "\n",
        "docs/guide/user-guide.md": render(
            "docs/user_guide.md", page=page, sections=guide, date_example=example, **job.common()
        ),
        "docs/README.md": render("docs/docs_index.md", links="\n".join(index)),
    }


def unknown(job: Job) -> Files:
    """A short page for each deliverable of a team of another pack; globs get a plain name."""
    files: Files = {}
    for path in job.deliverables:
        path = path.replace("**/", "").replace("*", "page")
        heading = path.rpartition("/")[2].partition(".")[0].replace("-", " ").capitalize()
        text = render("docs/unknown.md", heading=heading, team=job.team, quoted=quoted(job), **job.common())
        if path.endswith(".json"):
            text = json.dumps(
                {"title": job.domain.title, "written_by": "offline model", "team": job.team}, indent=2
            )
        files[path] = text
    return files


def entry(job: Job) -> str:
    """What a team of another pack adds to a page that is there already."""
    line = job.requirement.strip().partition("\n")[0][:80]
    return render("docs/entry.md", heading=line or "Another requirement", team=job.team, quoted=quoted(job))


def quoted(job: Job) -> str:
    """The requirement, in a fence that it cannot end; long ones are shortened."""
    text = job.requirement
    if len(text) > SHOWN:
        text = f"{text[:SHOWN]}\n… ({len(text)} characters in all)"
    return fence(text or "(nothing)")


def _guide(entity: Entity) -> str:
    fields = "".join(
        f"| `{field.name}` | {field.kind}{f', the id of {field.references}' if field.references else ''} "
        f"| {'required' if field.required else ''} |\n"
        for field in entity.fields
    )
    return render(
        "docs/user_guide_entity.md",
        heading=spoken(entity.plural).capitalize(),
        plural=entity.plural,
        fields=fields,
        sample=json.dumps(row(entity)),
        change=json.dumps(change(entity)),
    )


def field_list(entity: Entity) -> str:
    """A line for each field."""
    return "".join(
        f"- {spoken(field.name)}: {field.kind}{', required' if field.required else ''}"
        f"{f', points to one of the {field.references}' if field.references else ''}\n"
        for field in entity.fields
    )


def quote(text: str) -> str:
    """The text as a Markdown quotation."""
    return "\n".join(f"> {line}" for line in text.splitlines()) or "> (nothing)"


WRITERS: dict[str, Writer] = {
    "product_management": product,
    "ux_ui_design": design,
    "business_analysis": analysis,
    "solution_architecture": architecture,
    "documentation": documentation,
}
