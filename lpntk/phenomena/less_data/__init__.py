"""Does less data do as well, and which?"""
