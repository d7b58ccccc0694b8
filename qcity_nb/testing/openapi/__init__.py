"""GitHub's description of its API, and the check of requests and replies against it. See NOTICE for where it comes from."""
