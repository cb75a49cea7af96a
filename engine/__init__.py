"""The pure core: values in, values out; it knows nothing of files, processes, clocks or logs."""
