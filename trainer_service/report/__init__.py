"""The report of a published version, its model card: one HTML file that opens anywhere."""
