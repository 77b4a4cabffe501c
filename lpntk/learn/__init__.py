"""How do networks learn, one or hundreds at once?"""
