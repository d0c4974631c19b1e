"""Benchmarks: ours and the peers' times on the same work, alternating, each in a process of its own."""
