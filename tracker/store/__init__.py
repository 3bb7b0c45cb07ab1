"""Stores of events: the port, the memory store that specifies it, and SQL."""
