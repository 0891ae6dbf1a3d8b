"""Reads archives and folders of labelled images into datasets."""
