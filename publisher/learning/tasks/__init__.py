"""What a model to be released is for: declared, or guessed with the reason."""
