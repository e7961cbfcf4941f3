"""Sealing recorded content: pure cryptography, and where its keys come from."""
