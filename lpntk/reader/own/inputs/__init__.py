"""In what form do somebody's own data come? Arrays, a folder of images, a table, or a name."""
