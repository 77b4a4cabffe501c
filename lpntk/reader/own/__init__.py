"""What about my own data? One command that trains a network, asks the kernel and writes a page and lists."""
