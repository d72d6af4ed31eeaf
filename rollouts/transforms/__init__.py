"""The transforms that come with the package, one file each: plain functions that change a prompt or an answer.

`transforms=["strip", ("system", {"text": "Be brief."}), my_function]`; a pair is a name with its options.
"""
