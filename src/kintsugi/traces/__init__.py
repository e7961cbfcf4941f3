"""Spans that applications report: read from OTLP, named one way, joined to decisions. Pure."""
