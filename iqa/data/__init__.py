"""From a name in a config to pictures with scores, in batches on a device."""
