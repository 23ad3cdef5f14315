"""`qkernels bench`: matrix products beside their peers and the memory's own speed.

`method` says how anything is timed, `problem` what, `peers` against what, `roof` what the machine
could do at most; `run` puts them together and `report`, `summary`, `show` and `plot` tell the
results. `calls` measures what a call costs around its kernel.
"""
