"""From a recipe or a model file to measured variants that are ready to be released.

The only package that imports TensorFlow, and only inside functions that train or
convert. Knows nothing of signatures, chunks or brokers. Start with
`recipe.recipe.load_recipe` and `artifacts.build.build_from_recipe`, or with
`artifacts.build.build_from_tflite`.
"""
