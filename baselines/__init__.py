"""Methods that CoDyRA is compared with, one file each."""
