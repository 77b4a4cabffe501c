"""Does lpNTK approach the eNTK?"""
