"""Which model answers: aliases, Ollama, the ledger of calls, the offline model."""
