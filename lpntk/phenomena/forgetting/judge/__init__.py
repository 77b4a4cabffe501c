"""How good is a prediction of rare events?"""
