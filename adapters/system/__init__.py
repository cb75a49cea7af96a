"""The machine: child processes, files and clocks."""
