"""Cases, one file a group."""
