"""The screens: jobs, one job, one worker, and dialogs above them."""
