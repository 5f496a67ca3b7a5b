"""Where answers go. Nothing here ever makes the app's loop wait."""
