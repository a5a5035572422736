"""The graphs of a `langgraph.json`: where each comes from, and how it is made when it is wanted.

They are code of whoever runs the server, and run in its process with its rights: name files that you trust.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from hashlib import sha256
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from types import ModuleType
from typing import Any, Final, cast

from langgraph.graph.state import StateGraph
from langgraph.pregel import Pregel
from packaging.requirements import InvalidRequirement, Requirement

from api.protocol.errors import GraphsInvalid
from core.json import is_array, is_object

_OURS: Final = "FACTORY_"


@dataclass(frozen=True)
class GraphFile:
    """What a `langgraph.json` names."""

    path: Path
    graphs: Mapping[str, str]
    """Graph id → `path.py:name` or `package.module:name`."""
    descriptions: Mapping[str, str]
    dependencies: tuple[str, ...]
    env: Mapping[str, str]


def read(path: Path) -> GraphFile:
    """Read the file, or the `langgraph.json` of a folder; raises GraphsInvalid."""
    if path.is_dir():
        path = path / "langgraph.json"
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GraphsInvalid(f"{path} cannot be read: {error}", todo="Give a langgraph.json") from error
    graphs = data.get("graphs") if is_object(data) else None
    if not is_object(data) or not is_object(graphs) or not graphs:
        raise GraphsInvalid(f'{path} names no graphs: it has no object "graphs"')
    places: dict[str, str] = {}
    descriptions: dict[str, str] = {}
    for name, given in graphs.items():
        place = given.get("path") if is_object(given) else given
        if not isinstance(place, str) or ":" not in place:
            raise GraphsInvalid(
                f"{path}: graph {name!r} is {given!r}",
                todo="Write it as ./folder/file.py:name or package.module:name",
            )
        places[name] = place
        if is_object(given) and isinstance(given.get("description"), str):
            descriptions[name] = given["description"]
    dependencies = data.get("dependencies", [])
    if not is_array(dependencies) or not all(isinstance(one, str) for one in dependencies):
        raise GraphsInvalid(f'{path}: "dependencies" must be a list of texts')
    return GraphFile(path, places, descriptions, tuple(dependencies), _env(path, data.get("env", {})))


def _env(path: Path, given: object) -> Mapping[str, str]:
    if is_object(given):
        return {name: str(value) for name, value in given.items()}
    if not isinstance(given, str):
        raise GraphsInvalid(f'{path}: "env" must be an object, or the path of a file')
    pairs: dict[str, str] = {}
    try:
        lines = (path.parent / given).read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise GraphsInvalid(f'{path}: "env" cannot be read: {error}') from error
    for line in lines:
        name, equals, value = line.strip().removeprefix("export ").partition("=")
        if equals and not name.startswith("#"):
            pairs[name.strip()] = value.strip().strip("\"'")
    return pairs


def load(file: GraphFile) -> dict[str, object]:
    """Import every graph of the file: compiled graphs, or what makes them. Blocks; raises GraphsInvalid."""
    for name, value in file.env.items():
        # What the operator has set stands, and the factory's own settings are none of a graph's business.
        if not name.startswith(_OURS):
            os.environ.setdefault(name, value)
    _provide(file)
    return {name: _load(file, name, place) for name, place in file.graphs.items()}


def _provide(file: GraphFile) -> None:
    root = file.path.parent.resolve()
    folders = [root]
    for dependency in file.dependencies:
        if dependency.startswith("."):
            folder = (root / dependency).resolve()
            if not folder.is_dir():
                raise GraphsInvalid(f"{file.path}: there is no folder {dependency}")
            folders.append(folder)
        else:
            _installed(file, dependency)
    for folder in folders:
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


def _installed(file: GraphFile, dependency: str) -> None:
    try:
        name = Requirement(dependency).name
        distribution(name)
    except InvalidRequirement as error:
        raise GraphsInvalid(f"{file.path}: {dependency!r} is no requirement: {error}") from error
    except PackageNotFoundError:
        raise GraphsInvalid(
            f"{file.path}: {dependency!r} is not installed",
            untouched="Nothing was installed: a server does not change its own environment",
            todo=f"Install it beside the factory, as in `pip install {dependency!r}`",
        ) from None


def _load(file: GraphFile, name: str, place: str) -> object:
    where, _, attribute = place.rpartition(":")
    try:
        if where.endswith(".py") or "/" in where:
            module = _module_of((file.path.parent / where).resolve())
        else:
            module = importlib.import_module(where)
        found: object = getattr(module, attribute)
    except Exception as error:
        raise GraphsInvalid(
            f"{file.path}: graph {name!r} ({place}) cannot be loaded: {type(error).__name__}: {error}",
            todo="Correct the path, or install what it imports",
        ) from error
    if not (isinstance(found, Pregel | StateGraph) or callable(found)):
        raise GraphsInvalid(
            f"{file.path}: graph {name!r} ({place}) is a {type(found).__name__}",
            todo="Name a compiled graph, a StateGraph, or a function that gives one",
        )
    return cast(object, found)


def _module_of(path: Path) -> ModuleType:
    """The module of a file, under a name of its own: a package of theirs may be called as one of ours."""
    home = path.parent
    if (home / "__init__.py").exists():
        # Its neighbours are imported relative to it.
        package = _execute(home / "__init__.py", _alias(home), [str(home)])
        if path.name == "__init__.py":
            return package
        return importlib.import_module(f"{package.__name__}.{path.stem}")
    return _execute(path, _alias(path), None)


def _alias(path: Path) -> str:
    return f"graphs_{path.stem}_{sha256(str(path).encode()).hexdigest()[:12]}"


def _execute(path: Path, name: str, within: list[str] | None) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=within)
    if spec is None or spec.loader is None or not path.is_file():
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and type hints look there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


Made = AbstractAsyncContextManager[Any] | AbstractContextManager[Any] | Any


def arguments(factory: Callable[..., Made], config: dict[str, Any], runtime: object) -> dict[str, Any]:
    """What a graph factory is called with: the config, the server's runtime, both, or nothing."""
    given: dict[str, Any] = {}
    for parameter in inspect.signature(factory).parameters.values():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        wants_runtime = parameter.name == "runtime" or "ServerRuntime" in str(parameter.annotation)
        if wants_runtime:
            given[parameter.name] = runtime
        elif parameter.default is parameter.empty or parameter.name == "config":
            given[parameter.name] = config
    return given
