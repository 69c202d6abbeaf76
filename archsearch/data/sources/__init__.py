"""Where images come from: folders, files, arrays, tables, published data sets."""
