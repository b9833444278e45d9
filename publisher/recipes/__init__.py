"""Built-in recipes for `publisher train --recipe NAME`, as a user would write them."""
