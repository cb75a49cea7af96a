"""Optimised layout: policy rules compiled so that a packet meets few kernel rules."""
