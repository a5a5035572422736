"""Who may do what: risk, policy, approvals."""
