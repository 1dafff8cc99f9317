"""Pages drawn from prose whose every piece is known, laid out as the benchmarks lay out their own."""
