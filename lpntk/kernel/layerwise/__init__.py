"""The kernel without a gradient of the whole network, layer by layer."""
