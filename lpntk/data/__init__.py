"""Which labelled samples?"""
