"""Can forgetting be foreseen?"""
