"""Every plot and overlay, from plain arrays: functions that return a Figure or a painted picture; ``style.save`` writes a Figure."""
