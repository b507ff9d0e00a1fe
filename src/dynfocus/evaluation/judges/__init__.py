"""Who marks open-ended answers: a deterministic rule, a chat model behind HTTP, or its stored replies.

Each gives raw replies in the official form; `replies.py` reads the marks out of all of them alike.
"""
