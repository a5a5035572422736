"""Which model answers: aliases, Ollama as it is, the usage ledger, the offline model."""
