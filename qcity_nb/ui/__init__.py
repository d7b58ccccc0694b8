"""What people look at: figures, the static report. Built on the client; knows nothing of the engine."""
