"""Commands that answer questions and change nothing.

They show rules (compile), verdicts of packets (simulate, search, explain), differences (diff, what-if), the past
(replay, blame, history) and the state of a Node (status, stats).
"""
