"""Pure core of nodewall: objects, events, state, policy resolution, compiler, diff and plan.

The modules map values to values. They open no file, start no process, read no clock and write no log. Everything that
touches the outside is in :mod:`adapters`.
"""
