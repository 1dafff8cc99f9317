"""Requests become text, token by token."""
