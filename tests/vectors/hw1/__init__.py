"""The second implementation of `hw1`, written from docs/CRYPTO.md and its decisions alone.

It exists to be compared with the first. It is not for use: nothing is constant-time, nothing is
erased. Time and randomness are handed in. It knows nothing of JSON.
"""
