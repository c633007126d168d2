"""How vision-language models lie on disk: what a folder is, and the two published layouts in both
directions.
"""
