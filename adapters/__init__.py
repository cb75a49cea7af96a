"""Adapters: the code that connects nodewall's engine and simulator to the outside, one package per concern.

Technologies: ``netfilter`` (rules in the kernel), ``kubernetes`` (API server), ``eventlog``, ``inputs`` (files of
users), ``system`` (operating system), ``telemetry`` (metrics and health), ``lab`` (test networks). ``node`` is the
agent, ``application`` has the use cases, ``cli`` the command line. :mod:`adapters.wiring` chooses the adapters.
"""
