"""The pages: each draws what pure functions beside this folder build."""
