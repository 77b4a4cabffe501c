"""What do other scores say of the same samples and the same pairs?"""
