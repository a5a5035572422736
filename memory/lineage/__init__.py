"""What memories come from and lead to: taking back, sharing among teams, forgetting."""
