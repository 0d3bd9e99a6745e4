"""What `produce.py` writes: the cases and conversations. All randomness comes from one `Tape`."""
