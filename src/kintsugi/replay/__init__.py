"""Runs recorded or written-down exchanges through the gateway's own decision code."""
