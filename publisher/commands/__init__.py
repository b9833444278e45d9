"""The commands, one module for those that need the same libraries.

Each reads its options, calls one operation and shows the result. `publisher.cli` lists
them; `common_options` has what they share.
"""
