"""The session audit: what the event log holds, searched, walked through, handed on, anchored."""
