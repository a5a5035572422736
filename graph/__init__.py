"""In which order: state, stage, gate, clarification, escalation, pipeline, runner."""
