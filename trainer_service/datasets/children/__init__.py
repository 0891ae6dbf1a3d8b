"""Datasets made of another one: with corrected labels, without some images, or with more of them.

A child has its own list of all images, as every dataset has, but no copy of an image: its files
stay where the dataset keeps them that has brought them. It is never changed; a further correction
makes another child.

    datasets/<child>/corrections.jsonl    a `Correction` a line: how labels differ from the first's
    datasets/<child>/additions.jsonl      an `ImageRecord` a line: the images that the first lacks
    datasets/<child>/images/              those of them that this child itself has brought
    datasets/<parent>/children/<child>    empty; while the child is there, the parent stays
"""
