"""What commands do, one module each: steps over the registry, broker and `learning`.

Operations return dataclasses and report to a `Progress`; they parse and print nothing.
"""
