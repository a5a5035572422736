"""Who works: the contract, the registry, the operative's loop, its tools; packs of teams as data."""
