"""What is done with whole files: inspect, verify, extract, quantise."""
