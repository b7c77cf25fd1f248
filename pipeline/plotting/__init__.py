"""What every report is drawn with: plots as inline SVG, tables as text in cells, one HTML page."""
