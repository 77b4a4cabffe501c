"""What does the kernel cost?"""
