"""Validating admission webhook: refuses policies, tiers and groups that agents would refuse.

``admission_review`` computes the answer to a review, ``webhook`` serves it over HTTPS.
"""
