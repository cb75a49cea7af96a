"""Adapters between nodewall and the outside: files, processes, the kernel, the Kubernetes API, and the command line.

Each package handles one technology. It implements the interfaces of :mod:`engine.reconcile.interfaces` or calls the
engine and the simulator.
"""
