"""Running a study: its objective, its workers, and the engines that place them."""
