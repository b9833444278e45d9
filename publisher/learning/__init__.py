"""From a recipe or a model file to measured variants; start with `artifacts.build`.

The only package that imports TensorFlow, and only in functions that train or convert.
"""
