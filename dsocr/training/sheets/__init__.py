"""Whole drawn pages of every kind: how they are laid out, looked at and learned from."""
