"""Everything that trains: the method hooks, the one stream trainer, CoDyRA and the carriers."""
