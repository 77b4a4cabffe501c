"""Which samples can be left out?"""
