"""Drawn pages with known text become a checkpoint."""
