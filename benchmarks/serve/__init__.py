"""The service against the design that it replaces: Flask and a dictionary, which loses all of it at a restart."""
