"""The tests. A package of its own, so that nothing else of that name on the path takes its place."""
