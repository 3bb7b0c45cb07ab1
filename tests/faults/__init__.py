"""Faults, injected for real: what was recorded, what is stored, what was lost."""
