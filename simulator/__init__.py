"""A model of netfilter: packets against any real ruleset, whoever wrote it."""
