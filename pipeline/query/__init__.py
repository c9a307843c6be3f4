"""The way back: totals and rejected rows, chosen, summed and sorted. It starts without numpy and without the kernel."""
