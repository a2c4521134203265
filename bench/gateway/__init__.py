"""From a request on a socket to a fill on disk, next to the floors under it and to another gateway."""
