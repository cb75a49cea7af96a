"""Live agent of one Node: loop, drift repair, timed applies, removal and reports."""
