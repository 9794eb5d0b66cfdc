"""The PIM side of a controller: its queue, the place of tiles among requests, results."""
