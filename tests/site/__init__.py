"""What the site says of the program in the program's own words: ``make docs``."""
