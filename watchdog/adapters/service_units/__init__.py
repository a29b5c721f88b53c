"""Our own service: the files a service manager reads, and what it is told about them."""
