"""The engine's configuration: the primary config and the groups every experiment shares."""
