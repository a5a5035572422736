"""Which account answers: the pool, its health, its quotas, and the model that stands before it."""
