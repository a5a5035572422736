"""Webhooks: who is told over HTTP of what happens, signed, and again until it has arrived."""
