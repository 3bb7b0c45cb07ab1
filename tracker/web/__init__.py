"""The page of `tracker ui`, and its API: a peer of the command line."""
