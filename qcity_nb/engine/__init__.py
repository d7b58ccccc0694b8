"""The loop: observe, decide, act, record. It runs as a process of its own, inside a kernel, or once and out."""
