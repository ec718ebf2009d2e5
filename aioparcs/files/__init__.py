"""Files that a job is sent and that are fetched from it: their names, their hashes, and the tars that carry them."""
