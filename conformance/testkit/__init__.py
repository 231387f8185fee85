"""What several tests need and no user does: servers, processes, waiting. Never in the wheel."""
