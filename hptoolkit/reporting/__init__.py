"""What a study found, shown to people: terminal, figures, page, dashboard."""
