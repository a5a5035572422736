"""What teams remember: banks with hybrid recall, and where each memory comes from."""
