"""Use cases such as apply, plan, simulate, compare and status, which commands, the agent and the Python API share.

Input: options as plain values, and the cluster and Node that the user selected. Output: values, which the commands
render.
"""
