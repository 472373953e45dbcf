"""What a project needs next, and what an answer means for it: values and pure functions."""
