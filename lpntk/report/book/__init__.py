"""What does the book say of all runs together?"""
