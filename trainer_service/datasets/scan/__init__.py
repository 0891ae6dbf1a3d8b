"""One pass over an archive or a folder: what it finds, what is kept, and what is made of that."""
