"""The Agent Protocol, as LangGraph's own clients speak it: `langgraph_sdk`, Studio, Agent Chat UI."""
