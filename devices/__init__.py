"""One TOML file per board, data only."""
