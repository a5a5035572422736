"""Where the Python code of a product lies."""

from workspace.files import Files

_NO_PRODUCT = frozenset(
    {"tests", "test", "docs", "doc", "examples", "example", "benchmarks", "scripts", "tools", "build", "dist"}
)


def has_python(files: Files) -> bool:
    """Whether there is any."""
    return bool(files.list("**/*.py"))


def sources(files: Files) -> list[str]:
    """The folders and files that hold the product's own code: `src`, or else the packages on top."""
    paths = files.list("**/*.py")
    if any(path.startswith("src/") for path in paths):
        return ["src"]
    packages = {
        path.partition("/")[0] for path in paths if path.count("/") == 1 and path.endswith("/__init__.py")
    }
    modules = {path for path in paths if "/" not in path and not _beside(path)}
    return sorted(packages - _NO_PRODUCT) + sorted(modules)


def _beside(module: str) -> bool:
    return module in ("setup.py", "conftest.py", "noxfile.py") or module.startswith(("test_", "."))


def modules(files: Files) -> frozenset[str]:
    """The names at the top of the product's own imports."""
    tops: set[str] = set()
    for path in files.list("**/*.py"):
        first, _, rest = path.removeprefix("src/").partition("/")
        tops.add(first if rest else first.removesuffix(".py"))
    return frozenset(tops)
