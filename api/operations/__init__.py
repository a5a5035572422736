"""What those who run the service ask it: whether it lives, whether it can work, and how it does."""
