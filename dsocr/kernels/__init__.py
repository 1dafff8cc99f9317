"""Fast forms of a few operations, each beside its plain twin."""
