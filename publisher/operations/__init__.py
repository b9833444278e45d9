"""What a command does, one module each: steps over the registry, the broker and `learning`.

Operations return dataclasses and report to a `Progress`; they parse and print nothing.
"""
