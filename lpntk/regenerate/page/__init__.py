"""An executed notebook made fit to be shown."""
