"""PDF files: written page by page, or given invisible text where they are there already."""
