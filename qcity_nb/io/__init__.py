"""The machine: clocks, processes, files, git. Everything that touches the outside and knows nothing of runners or jobs."""
