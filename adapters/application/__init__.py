"""Use cases shared by commands and the agent.

Input are options as plain values and a selection of cluster and node; output are values, which commands render.
"""
