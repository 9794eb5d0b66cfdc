"""The dense part of decoder blocks: where weights lie, and the GEMMs that use them."""
