"""A kernel larger than memory: in tiles, on disk, killed and resumed, shared."""
