"""How fast is the kernel, against every other way to compute the same numbers? ``python bench/run.py``."""
