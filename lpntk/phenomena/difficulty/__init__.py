"""Does difficulty belong to the sample?"""
