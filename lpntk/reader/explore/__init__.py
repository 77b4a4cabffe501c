"""What if I take another one? Pictures to play with: in Jupyter with a kernel, on a page from the disk without."""
