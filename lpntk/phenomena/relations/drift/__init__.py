"""Does the kernel drift in training, and when may it be frozen?"""
