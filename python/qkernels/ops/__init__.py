"""The public operators: arguments are brought into the core's form, and the core does the work."""
