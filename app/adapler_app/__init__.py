"""The viewer: which words were dropped, at which layer, and whether people agree."""
