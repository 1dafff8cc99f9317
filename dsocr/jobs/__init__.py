"""Many files, read one after another, and where their answers go."""
