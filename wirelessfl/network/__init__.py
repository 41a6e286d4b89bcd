"""The air: where clients stand, what the channel does to their signal, and how links are shared."""
