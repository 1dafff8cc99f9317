"""What an evaluation found: figures with their intervals, tables, plots, the published rows, and the files written."""
