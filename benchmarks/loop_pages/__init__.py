"""Made-up pages: some that a model cannot stop writing, some that honestly say the same again and again."""
