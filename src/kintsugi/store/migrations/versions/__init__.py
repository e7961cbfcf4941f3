"""One file per step; each runs the SQL file of its own name."""
