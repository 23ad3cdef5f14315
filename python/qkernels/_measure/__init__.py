"""How anything is timed, and what a measurement has to know of the machine."""

# Here, where a command finds it without importing what measures.
MIN_ROUNDS = 15
