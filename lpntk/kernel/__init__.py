"""How do two samples pull on each other?"""
