"""Texts as vectors: from Ollama where it answers, else from a function that needs no model."""
