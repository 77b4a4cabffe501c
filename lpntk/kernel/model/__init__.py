"""Which models can be asked, and what must be left alone in them?"""
