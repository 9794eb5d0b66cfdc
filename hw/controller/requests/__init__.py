"""The ordinary side of a controller: queues of burst runs, and which run is next."""
