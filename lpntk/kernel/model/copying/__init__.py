"""How is a model copied so that nothing in the copy reaches the original?"""
