"""Reads the files of untrusted archives and folders, one after the other, without unpacking them.

A name in an archive is only data here: nothing is ever written under it. Devices and
links are not followed but reported; in a folder, a link to a file of that folder is read.

What is wrong with a file is a verdict on it, `Damaged`, or on its archive, InvalidDataset. What
the system could not do just now, such as read from a disk that fails, says nothing of either and
is raised as it is.
"""
