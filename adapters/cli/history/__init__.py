"""Renders the history of a Node for the commands replay and history.

``moments`` renders the changes by each event, ``timeline`` the entries of a timeline, ``page`` a timeline as HTML.
"""
