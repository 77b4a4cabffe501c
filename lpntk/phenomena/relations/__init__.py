"""Are contradictory pairs rare?"""
