"""What the shell needs of the world: protocols, at most four methods each."""
