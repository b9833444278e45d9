"""Preprocessing on the publisher's side: its declaration, and data given raw."""
