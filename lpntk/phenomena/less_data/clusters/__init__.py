"""Which samples are interchangeable?"""
