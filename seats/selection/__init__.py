"""Token selection with no model in it: tensor functions, and the counts and schedules behind them, without torch."""
