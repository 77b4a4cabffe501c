"""Where is it computed, and in which numbers?"""
