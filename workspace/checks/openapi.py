"""Whether OpenAPI documents are valid: openapi-spec-validator, inside the sandbox, for a document may refer
to any address and be nested or repeated without end."""

import asyncio
import json
import re

from core.json import is_object
from workspace.checks.result import Finding, Findings, idle, not_run
from workspace.checks.scene import Report, Scene
from workspace.files import Files

_NAMED = re.compile(r"(^|/)(openapi|swagger)[^/]*\.(json|ya?ml)$", re.IGNORECASE)
_SAYS = re.compile(r"""^\s*\{?\s*["']?(openapi|swagger)["']?\s*:\s*["']?[23]\.""")
_MOST = 10

# Runs inside. One JSON object a line: document, place, and what is wrong.
_INSIDE = r"""
import json, sys
try:
    from openapi_spec_validator.readers import read_from_filename
    from openapi_spec_validator.shortcuts import get_validator_cls
    from jsonschema_path import SchemaPath
except ImportError:
    sys.exit(9)
def tell(path, place, what):
    print(json.dumps({"path": path, "place": str(place)[:200], "what": str(what)[:300]}), flush=True)
for path in sys.argv[1:]:
    try:
        spec, uri = read_from_filename(path)
        errors = get_validator_cls(spec)(SchemaPath.from_dict(spec, base_uri=uri)).iter_errors()
        for number, error in enumerate(errors):
            if number >= 20:
                break
            place = "/".join(str(part) for part in getattr(error, "absolute_path", ()))
            tell(path, place, getattr(error, "message", error))
    except BaseException as error:
        tell(path, "", f"{type(error).__name__}: {error}")
    print(json.dumps({"done": path}), flush=True)
"""


async def look(scene: Scene) -> Report:
    """Every OpenAPI document of the product."""
    paths = await asyncio.to_thread(documents, scene.files)
    if not paths:
        return idle("openapi", "there is no OpenAPI document")
    ran = await scene.sandbox.run(
        ["python", "-c", _INSIDE, *paths], scene.tree, policy="read", timeout=scene.timeout
    )
    if ran.exit_code == 9:
        return not_run("openapi", "openapi-spec-validator is not there")
    problems: list[Finding] = []
    done: set[str] = set()
    for line in ran.output.splitlines():
        try:
            told = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if not is_object(told):
            continue
        if "done" in told:
            done.add(str(told["done"]))
        else:
            place = f"{told.get('place')}: " if told.get("place") else ""
            problems.append(Finding(str(told.get("path")), 1, f"{place}{told.get('what')}"))
    limit = "the limits" if ran.ended_by == "exit" else f"the limit of {ran.ended_by}"
    problems += [Finding(path, 1, f"cannot be read within {limit}") for path in paths if path not in done]
    return Findings(problems, f"{', '.join(paths)[:200]}: valid", each=10)


def documents(files: Files) -> list[str]:
    """The OpenAPI documents: by name, or by how they begin."""
    found = {path for path in files.list() if _NAMED.search(path)}
    for pattern in ("**/*.json", "**/*.yaml", "**/*.yml"):
        found |= {match.path for match in files.search(_SAYS.pattern, pattern) if match.line <= 5}
    return sorted(found)[:_MOST]
