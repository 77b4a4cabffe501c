"""What does one step do?"""
