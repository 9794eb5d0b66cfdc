"""The host: requests, schedules, programs and reports."""
