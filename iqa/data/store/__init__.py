"""Decoded once: picture files, the squares cut from them, the cache, batches on a device."""
