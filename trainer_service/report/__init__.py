"""The report of a published version: one HTML file that opens anywhere, the model's card."""
