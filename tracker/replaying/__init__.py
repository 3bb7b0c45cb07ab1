"""A run's stream again: up to a point of it."""
