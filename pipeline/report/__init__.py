"""Pages that show a store's totals: one HTML file that needs nothing else.

figures     what a page shows, in exact numbers; timeline: bytes over time
provenance  where the numbers come from: sources, rejected and ignored rows, the proof
charts      where each area, cell and ribbon of a chart lies
page        the HTML, by a template
"""
