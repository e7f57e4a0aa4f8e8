"""Data sets, class-balanced subsets of them, and the order in which training sees their examples.

    sources      `load_source`: a data set as arrays
    known        what is known about a data set before it is loaded
    mnist, cifar10, digits, folder
                 one module per source
    downloads    what torchvision downloads, whole or not at all
    files        image files one by one, and their names as an array
    labels       class names into two groups, for binary tasks
    inputs       images into what a two-layer network reads
    subsets      which examples belong to a sub-dataset
    normalisation, augmentation, batches
                 images as deep networks read them: kept on the device, or streamed from files
    order        which examples belong to a batch
    randomness   `random_generator`: the one place where random streams get their seeds

Import from the modules themselves: this file imports none of them, so that what draws batches does not depend
on the code that reads images.
"""
