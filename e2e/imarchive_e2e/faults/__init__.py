"""A real archiver on this machine, killed, cut off and lied to: what issues its answers, and what is on its disk then.

`local` starts it, `workload` says what is handed in, `sink` is the archive, `run` compares the two. `tracer` stops it
at each system call that writes (a program of its own, since strace counts the calls of each thread by itself). What is
done to it: `kills`, `cuts` with `power`, which rebuilds a disk from a trace, `disks` and `flips`. `size` says how much.
"""
