"""TOML in, frozen typed sections out. Needs the standard library and pydantic only, so that mistakes show at once."""
