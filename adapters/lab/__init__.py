"""Test networks made of Linux network namespaces, in which the kernel's verdicts are compared with the simulator's.

``netns`` builds the networks and opens real connections in them. ``packet_injection`` sends raw packets to a node and
observes which of them the kernel's rules accept.
"""
