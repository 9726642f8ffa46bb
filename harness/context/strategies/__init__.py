"""Ways to make room in a window, one file each: `apply` changes a draft until it is small enough.

They know the draft and their own options, and nothing of runs, models or files.
"""
