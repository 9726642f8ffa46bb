"""One self-contained page over a run: its plan, its agents over time, every window, every finding."""
