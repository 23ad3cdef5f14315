"""What everything else stands on: arrays and frameworks, numbers, threads, files, progress."""
