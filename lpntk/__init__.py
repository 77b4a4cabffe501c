"""lpNTK, computed: the kernel of Guo et al. (ICLR 2024), the phenomena it explains, and their regeneration."""

__version__ = "0.1.0"
