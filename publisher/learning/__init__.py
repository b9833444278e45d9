"""From a recipe or a model file to variants that are measured and ready to be released.

The one folder that imports TensorFlow, and only inside functions that train or convert. It knows nothing of signatures,
chunks or brokers. Start with `recipe.load_recipe` and `making.make_from_recipe`, or with `making.make_from_tflite`.
"""
