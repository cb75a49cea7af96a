"""Operating system services: processes, clock, files, sockets and resource limits."""
