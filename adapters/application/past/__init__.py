"""Use cases about the history of a Node in an event log.

``steps`` replays the events one by one, ``timeline`` lists those that changed the Node. ``blame`` finds the event that
changed a verdict, and ``replay_check`` compares recorded with compiled rules.
"""
