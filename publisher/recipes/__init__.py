"""Recipes that come with EdgeFerry, each a file such as a user would write: `publisher train --recipe NAME`."""
