"""What is fast, and fast compared to what. `make bench` runs all, `make bench ONLY=name` one."""
