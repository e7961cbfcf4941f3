"""Incidents: what may happen to one, what it is worth, and what is owed because of it. Pure."""
