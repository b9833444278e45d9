"""The commands: each reads its line, calls one operation and shows what came of it. Heavy rooms are entered inside.

`common` holds what all commands share; the modules register themselves on the applications of `publisher.cli`.
"""
