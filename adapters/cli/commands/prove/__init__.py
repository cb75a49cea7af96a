"""Commands that prove or check: invariants (prove), useless rules (lint) and test cases (scenario).

The module ``fleet`` implements the option ``--all-nodes`` of diff and prove.
"""
