"""Can difficulty be chosen?"""
