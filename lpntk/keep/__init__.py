"""What is kept, and how does one know that it is still right?"""
