"""From files and environment to validated settings: resolving, merging, decoding, messages."""
