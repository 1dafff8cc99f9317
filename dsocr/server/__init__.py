"""One reader for many clients, over HTTP and in several dialects."""
