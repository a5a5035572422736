"""Commands with `--server`: the same output and exit codes as here, from a factory elsewhere."""
