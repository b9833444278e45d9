"""What a command does, one module each: steps over the registry, the broker and the learning room.

Nothing here draws or parses a command line: results are dataclasses, and what is going on is told to a `Voice`.
"""
