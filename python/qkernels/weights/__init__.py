"""The kinds of weights, each with its product and its decoding."""
