"""How well pages are read: the published benchmarks, scored as they were published and as they should be."""
