"""One look of a class is over-represented: does pruning by clusters of the kernel counter it?"""
