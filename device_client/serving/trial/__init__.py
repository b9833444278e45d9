"""A second model beside the live one: what it is given, and how it does."""
