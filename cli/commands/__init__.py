"""The words of the command line, a family in each module; what a command does stands in what it imports."""
