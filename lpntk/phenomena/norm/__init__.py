"""Does batch norm matter to what the kernel tells?"""
